"""The variant tables and the scaling rules that turn their rows into networks.

Sources: EfficientNet (Tan and Le 2019, arXiv:1905.11946), EfficientNetV2 (Tan
and Le 2021, arXiv:2104.00298), Noisy Student (Xie et al. 2019, arXiv:1911.04252)
for L0 to L2. L3 was never published: it is L2 continued by the compound-scaling
formula to 1.5 billion parameters.
"""

import dataclasses
import difflib
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from efn_compose.arch.conventions import PREPROCESSINGS, Conventions
from efn_compose.arch.specs import ArchSpec, BlockKind, BlockSpec, Family
from efn_compose.errors import ConfigError


@dataclass(frozen=True)
class StageRow:
    """One row of a stage table, at width and depth 1."""

    repeats: int
    kernel: int
    stride: int
    expand_ratio: int
    channels: int
    kind: BlockKind = "mbconv"
    has_se: bool = True
    has_first_skip: bool = True


@dataclass(frozen=True)
class VariantRow:
    """One row of the variant table."""

    family: Family
    width: float
    depth: float
    resolution: int
    dropout: float


SE_RATIO = 0.25

_M = "mbconv"
_F = "fused"

V1_STAGES = (
    StageRow(1, 3, 1, 1, 16),
    StageRow(2, 3, 2, 6, 24),
    StageRow(2, 5, 2, 6, 40),
    StageRow(3, 3, 2, 6, 80),
    StageRow(3, 5, 1, 6, 112),
    StageRow(4, 5, 2, 6, 192),
    StageRow(1, 3, 1, 6, 320),
)
LITE_STAGES = tuple(dataclasses.replace(row, has_se=False) for row in V1_STAGES)
EDGE_STAGES = (
    StageRow(1, 3, 1, 4, 24, _F, False, has_first_skip=False),
    StageRow(2, 3, 2, 8, 32, _F, False),
    StageRow(4, 3, 2, 8, 48, _F, False),
    StageRow(5, 5, 2, 8, 96, _M, False),
    StageRow(4, 5, 1, 8, 144, _M, False),
    StageRow(2, 5, 2, 8, 192, _M, False),
)


def _v2_stages(*rows: tuple[int, int, int, int]) -> tuple[StageRow, ...]:
    """Return V2 stages from (repeats, stride, expansion, channels): three fused, the rest with SE."""
    return tuple(
        StageRow(repeats, 3, stride, expand, channels, _F if index < 3 else _M, index >= 3)
        for index, (repeats, stride, expand, channels) in enumerate(rows)
    )


V2_BASE_STAGES = _v2_stages(
    (1, 1, 1, 16), (2, 2, 4, 32), (2, 2, 4, 48), (3, 2, 4, 96), (5, 1, 6, 112), (8, 2, 6, 192)
)
V2_STAGES: dict[str, tuple[StageRow, ...]] = {
    "v2-s": _v2_stages(
        (2, 1, 1, 24), (4, 2, 4, 48), (4, 2, 4, 64), (6, 2, 4, 128), (9, 1, 6, 160), (15, 2, 6, 256)
    ),
    "v2-m": _v2_stages(
        (3, 1, 1, 24), (5, 2, 4, 48), (5, 2, 4, 80), (7, 2, 4, 160), (14, 1, 6, 176),
        (18, 2, 6, 304), (5, 1, 6, 512),
    ),
    "v2-l": _v2_stages(
        (4, 1, 1, 32), (7, 2, 4, 64), (7, 2, 4, 96), (10, 2, 4, 192), (19, 1, 6, 224),
        (25, 2, 6, 384), (7, 1, 6, 640),
    ),
    "v2-xl": _v2_stages(
        (4, 1, 1, 32), (8, 2, 4, 64), (8, 2, 4, 96), (16, 2, 4, 192), (24, 1, 6, 256),
        (32, 2, 6, 512), (8, 1, 6, 640),
    ),
}  # fmt: skip

VARIANTS: dict[str, VariantRow] = {
    "b0": VariantRow("b", 1.0, 1.0, 224, 0.2),
    "b1": VariantRow("b", 1.0, 1.1, 240, 0.2),
    "b2": VariantRow("b", 1.1, 1.2, 260, 0.3),
    "b3": VariantRow("b", 1.2, 1.4, 300, 0.3),
    "b4": VariantRow("b", 1.4, 1.8, 380, 0.4),
    "b5": VariantRow("b", 1.6, 2.2, 456, 0.4),
    "b6": VariantRow("b", 1.8, 2.6, 528, 0.5),
    "b7": VariantRow("b", 2.0, 3.1, 600, 0.5),
    "b8": VariantRow("b", 2.2, 3.6, 672, 0.5),
    "l0": VariantRow("b", 2.8, 3.7, 600, 0.5),
    "l1": VariantRow("b", 3.9, 3.7, 600, 0.5),
    "l2": VariantRow("b", 4.3, 5.3, 800, 0.5),
    "l3": VariantRow("b", 5.8, 9.3, 1232, 0.5),
    "lite0": VariantRow("lite", 1.0, 1.0, 224, 0.2),
    "lite1": VariantRow("lite", 1.0, 1.1, 240, 0.2),
    "lite2": VariantRow("lite", 1.1, 1.2, 260, 0.3),
    "lite3": VariantRow("lite", 1.2, 1.4, 280, 0.3),
    "lite4": VariantRow("lite", 1.4, 1.8, 300, 0.3),
    "es": VariantRow("edge", 1.0, 1.0, 224, 0.2),
    "em": VariantRow("edge", 1.0, 1.1, 240, 0.2),
    "el": VariantRow("edge", 1.2, 1.4, 300, 0.3),
    "v2-b0": VariantRow("v2-b", 1.0, 1.0, 224, 0.2),
    "v2-b1": VariantRow("v2-b", 1.0, 1.1, 240, 0.2),
    "v2-b2": VariantRow("v2-b", 1.1, 1.2, 260, 0.3),
    "v2-b3": VariantRow("v2-b", 1.2, 1.4, 300, 0.3),
    "v2-s": VariantRow("v2", 1.0, 1.0, 384, 0.2),
    "v2-m": VariantRow("v2", 1.0, 1.0, 480, 0.3),
    "v2-l": VariantRow("v2", 1.0, 1.0, 480, 0.4),
    "v2-xl": VariantRow("v2", 1.0, 1.0, 512, 0.4),
}


@dataclass(frozen=True)
class FamilyRow:
    """What all variants of a scalable family share.

    `scales_ends` says whether the stem and top widths and the repeats of the
    first and last stage follow the coefficients (in Lite they do not).
    `has_ninety_percent_rule` says whether rounding may lose more than a tenth.
    """

    stages: tuple[StageRow, ...]
    stem: int
    top: int
    scales_ends: bool
    has_ninety_percent_rule: bool
    activation: str
    preprocessing: str
    bn_momentum: float


FAMILIES: dict[str, FamilyRow] = {
    "b": FamilyRow(V1_STAGES, 32, 1280, True, True, "swish", "imagenet", 0.99),
    "lite": FamilyRow(LITE_STAGES, 32, 1280, False, True, "relu6", "lite", 0.99),
    "edge": FamilyRow(EDGE_STAGES, 32, 1280, True, True, "relu", "lite", 0.99),
    "v2-b": FamilyRow(V2_BASE_STAGES, 32, 1280, True, False, "swish", "imagenet", 0.9),
    "v2": FamilyRow((), 0, 1280, False, False, "swish", "v2", 0.9),
}

_CUSTOM_NAME = re.compile(r"^(b|lite|edge|v2-b)-w(\d+(?:\.\d+)?)-d(\d+(?:\.\d+)?)$")


def round_channels(channels: float, has_ninety_percent_rule: bool = True) -> int:
    """Round a channel count to a multiple of 8, as the official code does.

    Example:
        >>> round_channels(16 * 1.2), round_channels(16 * 1.2, False)
        (24, 16)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    if has_ninety_percent_rule and rounded < 0.9 * channels:
        rounded += 8
    return rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Scale a repeat count by the depth coefficient, rounding up.

    Example:
        >>> round_repeats(4, 9.3)
        38
    """
    return math.ceil(round(depth * repeats, 9))


def variant_name(name: str) -> str:
    """Return the canonical spelling of a variant name, or raise `ConfigError` with suggestions.

    Example:
        >>> variant_name("EfficientNetV2B0"), variant_name("efficientnet-b5"), variant_name("L3")
        ('v2-b0', 'b5', 'l3')
    """
    key = name.strip().lower().replace("_", "-")
    key = re.sub(r"^efficientnet-?", "", key)
    key = re.sub(r"^v2-?", "v2-", key) if key.startswith("v2") else key
    if key in VARIANTS or _CUSTOM_NAME.match(key):
        return key
    close = difflib.get_close_matches(key, VARIANTS, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise ConfigError(
        f"Unknown variant {name!r}.{hint} Known: {', '.join(VARIANTS)}; "
        "other coefficients as 'b-w1.3-d2.0' (families b, lite, edge, v2-b)."
    )


@lru_cache(maxsize=64)
def arch_spec(name: str) -> ArchSpec:
    """Return the network of a variant name.

    Args:
        name: "b0" to "b8", "l0" to "l3", "lite0" to "lite4", "es", "em", "el",
            "v2-b0" to "v2-b3", "v2-s" to "v2-xl", or "family-wW-dD".

    Raises:
        ConfigError: The name is unknown; the message suggests close ones.

    Example:
        >>> arch_spec("lite1").stage_repeats
        (1, 3, 3, 4, 4, 5, 1)
    """
    key = variant_name(name)
    custom = _CUSTOM_NAME.match(key)
    if custom:
        family, width, depth = custom.group(1), float(custom.group(2)), float(custom.group(3))
        return scaled_spec(family, width, depth)
    row = VARIANTS[key]
    if row.family == "v2":
        stages = V2_STAGES[key]
        return _build_spec(key, row, stages, stages[0].channels, FAMILIES["v2"])
    return _scaled(key, row)


def scaled_spec(family: str, width: float, depth: float, *, resolution: int = 224) -> ArchSpec:
    """Return the network of a family at any width and depth coefficient.

    Args:
        family: "b", "lite", "edge" or "v2-b".
        width: Width coefficient, > 0.
        depth: Depth coefficient, > 0.
        resolution: Nominal input side, in pixels.

    Raises:
        ConfigError: The family does not scale, or a coefficient is not positive.

    Example:
        >>> scaled_spec("b", 0.25, 0.4).stage_channels
        (8, 8, 16, 24, 32, 48, 80)
    """
    allowed = [key for key, row in FAMILIES.items() if row.stages]
    if family not in allowed or not (width > 0 and depth > 0):
        raise ConfigError(
            f"scaled_spec needs a family of {allowed} and positive coefficients. "
            f"Received: {family!r}, width={width}, depth={depth}."
        )
    row = VariantRow(family, float(width), float(depth), resolution, 0.2)
    return _scaled(f"{family}-w{width:g}-d{depth:g}", row)


def default_conventions(spec: ArchSpec) -> Conventions:
    """Return the conventions of the official TensorFlow weights of a network.

    Example:
        >>> default_conventions(arch_spec("lite0")).activation
        'relu6'
    """
    row = FAMILIES[spec.family if spec.family in FAMILIES else "b"]
    return Conventions(
        padding="same",
        bn_epsilon=1e-3,
        activation=row.activation,
        preprocessing=PREPROCESSINGS[row.preprocessing],
        bn_momentum=row.bn_momentum,
    )


def _scaled(name: str, row: VariantRow) -> ArchSpec:
    """Apply the coefficients of a variant to its family's stage table."""
    family = FAMILIES[row.family]
    last = len(family.stages) - 1
    stages = tuple(
        dataclasses.replace(
            stage,
            channels=round_channels(stage.channels * row.width, family.has_ninety_percent_rule),
            repeats=stage.repeats
            if index in (0, last) and not family.scales_ends
            else round_repeats(stage.repeats, row.depth),
        )
        for index, stage in enumerate(family.stages)
    )
    stem = family.stem
    if family.scales_ends:
        stem = round_channels(stem * row.width, family.has_ninety_percent_rule)
    return _build_spec(name, row, stages, stem, family)


def _build_spec(
    name: str, row: VariantRow, stages: tuple[StageRow, ...], stem: int, family: FamilyRow
) -> ArchSpec:
    """Lay out the blocks of stages whose widths and repeats are final."""
    blocks = []
    in_channels = stem
    for stage_number, stage in enumerate(stages, start=1):
        for repeat in range(1, stage.repeats + 1):
            stride = stage.stride if repeat == 1 else 1
            expand_from = in_channels
            if row.family == "edge" and not blocks:
                # The first EdgeTPU block expands from the width of its output, not of the stem.
                expand_from = stage.channels
            has_expand = stage.expand_ratio != 1
            fits = stride == 1 and in_channels == stage.channels
            blocks.append(
                BlockSpec(
                    stage=stage_number,
                    repeat=repeat,
                    kind=stage.kind,
                    kernel=stage.kernel,
                    stride=stride,
                    in_channels=in_channels,
                    mid_channels=expand_from * stage.expand_ratio if has_expand else in_channels,
                    out_channels=stage.channels,
                    se_channels=max(1, int(SE_RATIO * in_channels)) if stage.has_se else 0,
                    has_expand=has_expand,
                    has_skip=fits and (repeat > 1 or stage.has_first_skip),
                )
            )
            in_channels = stage.channels
    top = family.top
    if family.scales_ends:
        top = round_channels(top * row.width, family.has_ninety_percent_rule)
    return ArchSpec(
        variant=name,
        family=row.family,
        width=row.width,
        depth=row.depth,
        resolution=row.resolution,
        dropout=row.dropout,
        stem_channels=stem,
        blocks=tuple(blocks),
        top_channels=top,
    )
