"""Names of networks, and the scaling rules that turn rows of the tables into networks.

    name = variant | base "-w" width "-d" depth

A variant is a published network ("b0", "v2-s", "tinynet-a"). A base is a stage table that
coefficients scale: "b", "lite", "edge", "v2-b", "v2-s", "v2-m", "v2-l", "v2-xl", "tinynet",
"mnasnet-a1", "mnasnet-b1", "mnasnet-small". Width and depth are positive decimal numbers, so
that "v2-s-w0.25-d0.4" is V2-S at a quarter of its width and 0.4 of its depth.
"""

import dataclasses
import difflib
import math
import re
from functools import lru_cache

from efn_compose.arch.conventions import PREPROCESSINGS, Conventions
from efn_compose.arch.specs import ArchSpec, BlockSpec
from efn_compose.arch.tables import (
    BASES,
    FAMILIES,
    SE_RATIO,
    VARIANTS,
    BaseRow,
    StageRow,
    VariantRow,
)
from efn_compose.errors import ConfigError

_SCALED_NAME = re.compile(rf"^({'|'.join(BASES)})-w(\d+(?:\.\d+)?)-d(\d+(?:\.\d+)?)$")


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
    """Return the canonical spelling of a network's name, or raise `ConfigError` with suggestions.

    Example:
        >>> variant_name("EfficientNetV2B0"), variant_name("efficientnet-b5"), variant_name("L3")
        ('v2-b0', 'b5', 'l3')
        >>> variant_name("tinynet_a"), variant_name("v2-s-w0.25-d0.4")
        ('tinynet-a', 'v2-s-w0.25-d0.4')
    """
    key = name.strip().lower().replace("_", "-")
    key = re.sub(r"^efficientnet-?", "", key)
    key = re.sub(r"^v2-?", "v2-", key) if key.startswith("v2") else key
    if key in VARIANTS or _SCALED_NAME.match(key):
        return key
    close = difflib.get_close_matches(key, VARIANTS, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise ConfigError(
        f"Unknown variant {name!r}.{hint} Known: {', '.join(VARIANTS)}; "
        f"other coefficients as 'b-w1.3-d2.0' (bases {', '.join(BASES)})."
    )


@lru_cache(maxsize=64)
def arch_spec(name: str) -> ArchSpec:
    """Return the network of a name.

    Args:
        name: A published variant ("b0" to "b8", "l0" to "l3", "lite0" to "lite4", "es", "em",
            "el", "v2-b0" to "v2-b3", "v2-s" to "v2-xl", "tinynet-a" to "tinynet-e",
            "mnasnet-a1", "mnasnet-b1", "mnasnet-small"), or a base at other coefficients
            ("b-w0.25-d0.4", "v2-s-w0.5-d1", "mnasnet-a1-w0.75-d1").

    Raises:
        ConfigError: The name is unknown; the message suggests close ones.

    Example:
        >>> arch_spec("lite1").stage_repeats
        (1, 3, 3, 4, 4, 5, 1)
    """
    key = variant_name(name)
    scaled = _SCALED_NAME.match(key)
    if scaled:
        return scaled_spec(scaled.group(1), float(scaled.group(2)), float(scaled.group(3)))
    return _scaled(key, VARIANTS[key])


def scaled_spec(
    base: str, width: float, depth: float, *, resolution: int | None = None
) -> ArchSpec:
    """Return the network of a base at any width and depth coefficient.

    Args:
        base: Key in `BASES`: "b", "lite", "edge", "v2-b", "v2-s", "tinynet", "mnasnet-a1", ...
        width: Width coefficient, > 0.
        depth: Depth coefficient, > 0.
        resolution: Nominal input side, in pixels; default the base's.

    Raises:
        ConfigError: There is no such base, or a coefficient is not positive.

    Example:
        >>> scaled_spec("b", 0.25, 0.4).stage_channels
        (8, 8, 16, 24, 32, 48, 80)
    """
    if base not in BASES or not (width > 0 and depth > 0):
        raise ConfigError(
            f"scaled_spec needs a base of {list(BASES)} and positive coefficients. "
            f"Received: {base!r}, width={width}, depth={depth}."
        )
    side = BASES[base].resolution if resolution is None else resolution
    row = VariantRow(base, float(width), float(depth), side, 0.2)
    return _scaled(f"{base}-w{width:g}-d{depth:g}", row)


def base_of(spec: ArchSpec) -> str | None:
    """Return the base that a network is named after, or None for one that is in no table.

    Example:
        >>> base_of(arch_spec("b3")), base_of(arch_spec("v2-s-w0.25-d0.4"))
        ('b', 'v2-s')
    """
    if spec.variant in VARIANTS:
        return VARIANTS[spec.variant].base
    scaled = _SCALED_NAME.match(spec.variant)
    return scaled.group(1) if scaled else None


def coefficients_of(spec: ArchSpec) -> tuple[float, float] | None:
    """Return width and depth coefficient of a network's base, None for one that is in no table.

    Example:
        >>> coefficients_of(arch_spec("b3")), coefficients_of(arch_spec("v2-s-w0.25-d0.4"))
        ((1.2, 1.4), (0.25, 0.4))
    """
    if spec.variant in VARIANTS:
        row = VARIANTS[spec.variant]
        return row.width, row.depth
    scaled = _SCALED_NAME.match(spec.variant)
    return (float(scaled.group(2)), float(scaled.group(3))) if scaled else None


def default_conventions(spec: ArchSpec) -> Conventions:
    """Return the conventions of the official weights of a network's family.

    Example:
        >>> default_conventions(arch_spec("lite0")).activation
        'relu6'
    """
    row = FAMILIES[spec.family if spec.family in FAMILIES else "b"]
    return Conventions(
        padding=row.padding,
        bn_epsilon=row.bn_epsilon,
        activation=row.activation,
        preprocessing=PREPROCESSINGS[row.preprocessing],
        bn_momentum=row.bn_momentum,
    )


def scaled_repeats(base: str, depth: float) -> tuple[int, ...]:
    """Return the blocks per stage of a base at a depth coefficient.

    Example:
        >>> scaled_repeats("b", 1.1), scaled_repeats("lite", 1.1)
        ((2, 3, 3, 4, 4, 5, 2), (1, 3, 3, 4, 4, 5, 1))
    """
    row = BASES[base]
    ends = () if row.scales_ends else (0, len(row.stages) - 1)
    return tuple(
        stage.repeats if number in ends else _repeats(stage.repeats, depth, row)
        for number, stage in enumerate(row.stages)
    )


def scaled_widths(base: str, width: float) -> tuple[int, tuple[int, ...], int]:
    """Return the channels of stem, stages and top of a base at a width coefficient.

    Example:
        >>> scaled_widths("tinynet", 0.5)
        (32, (8, 16, 24, 40, 56, 96, 160), 1280)
    """
    row = BASES[base]

    def scaled(channels: int) -> int:
        return round_channels(channels * width, row.has_ninety_percent_rule)

    stem = scaled(row.stem) if row.scales_stem else row.stem
    top = row.top if row.top_rule == "fixed" else scaled(row.top)
    if row.top_rule == "widened":
        top = max(row.top, top)
    return stem, tuple(scaled(stage.channels) for stage in row.stages), top


def _repeats(repeats: int, depth: float, row: BaseRow) -> int:
    if row.repeats_rule == "up":
        return round_repeats(repeats, depth)
    return max(1, round(round(depth * repeats, 9)))


def _scaled(name: str, row: VariantRow) -> ArchSpec:
    """Apply the coefficients of a variant to its base's stage table."""
    base = BASES[row.base]
    stem, widths, top = scaled_widths(row.base, row.width)
    stages = [
        dataclasses.replace(stage, channels=channels, repeats=repeats)
        for stage, channels, repeats in zip(
            base.stages, widths, scaled_repeats(row.base, row.depth), strict=True
        )
    ]
    blocks: list[BlockSpec] = []
    for number, stage in enumerate(stages, start=1):
        for repeat in range(1, stage.repeats + 1):
            in_channels = blocks[-1].out_channels if blocks else stem
            blocks.append(_block(stage, number, repeat, in_channels))
    return ArchSpec(
        variant=name,
        family=base.family,
        width=row.width,
        depth=row.depth,
        resolution=row.resolution,
        dropout=row.dropout,
        stem_channels=stem,
        blocks=tuple(blocks),
        top_channels=top,
    )


def _block(stage: StageRow, number: int, repeat: int, in_channels: int) -> BlockSpec:
    """Return a block of a stage whose width is final."""
    stride = stage.stride if repeat == 1 else 1
    has_expand = stage.expand_ratio != 1
    expanded = stage.channels if stage.expands_output and repeat == 1 else in_channels
    return BlockSpec(
        stage=number,
        repeat=repeat,
        kind=stage.kind,
        kernel=stage.kernel,
        stride=stride,
        in_channels=in_channels,
        mid_channels=expanded * stage.expand_ratio if has_expand else in_channels,
        out_channels=stage.channels,
        se_channels=max(1, int(SE_RATIO * in_channels)) if stage.has_se else 0,
        has_expand=has_expand,
        has_skip=stage.has_skips and stride == 1 and in_channels == stage.channels,
    )
