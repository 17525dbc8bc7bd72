"""The tables of networks: stages of each base, families, published variants.

Another family is rows of these tables, and a converter where its weights come from.

Sources: EfficientNet (Tan and Le 2019, arXiv:1905.11946), EfficientNetV2 (Tan and Le 2021,
arXiv:2104.00298), Noisy Student (Xie et al. 2019, arXiv:1911.04252) for L0 to L2, TinyNet (Han
et al. 2020, arXiv:2010.14819), MnasNet (Tan et al. 2019, arXiv:1807.11626). L3 was never
published: it is L2 continued by the compound-scaling formula to 1.5 billion parameters.
"""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from efn_compose.arch.conventions import Activation, Padding
from efn_compose.arch.specs import BlockKind, Family


@dataclass(frozen=True)
class StageRow:
    """One row of a stage table, at width and depth 1.

    Args:
        repeats: Number of blocks.
        kernel: Side of the k x k kernel, in pixels.
        stride: Stride of the first block.
        expand_ratio: Expanded channels per input channel; 1 for no expansion.
        channels: Output channels.
        kind: Kind of its blocks.
        has_se: Whether its blocks have squeeze-and-excite.
        has_skips: Whether its blocks add their input where widths and stride allow it.
        expands_output: Whether the first block expands from the width of its output, as
            EdgeTPU's first block does, and not from the width of its input.
    """

    repeats: int
    kernel: int
    stride: int
    expand_ratio: int
    channels: int
    kind: BlockKind = "mbconv"
    has_se: bool = True
    has_skips: bool = True
    expands_output: bool = False


@dataclass(frozen=True)
class BaseRow:
    """A stage table, and how a width and a depth coefficient scale it.

    Args:
        family: Networks of one family share conventions, and nest where their stages agree.
        stages: Rows of the stage table.
        stem: Channels of the stem at width 1.
        top: Channels of the last 1x1 convolution at width 1.
        resolution: Nominal input side, in pixels, of networks at other coefficients.
        scales_stem: Whether the stem's width follows the coefficient.
        top_rule: How the top's width follows the coefficient: "scaled", "fixed", or
            "widened" (scaled above 1, fixed below).
        scales_ends: Whether the repeats of the first and the last stage follow the depth.
        repeats_rule: How scaled repeats become whole: rounded "up", or to the "nearest".
        has_ninety_percent_rule: Whether rounding may not lose more than a tenth of a width.
    """

    family: Family
    stages: tuple[StageRow, ...]
    stem: int
    top: int = 1280
    resolution: int = 224
    scales_stem: bool = True
    top_rule: Literal["scaled", "fixed", "widened"] = "scaled"
    scales_ends: bool = True
    repeats_rule: Literal["up", "nearest"] = "up"
    has_ninety_percent_rule: bool = True


@dataclass(frozen=True)
class FamilyRow:
    """How the official weights of a family want to be run.

    Args:
        activation: Name of the activation.
        preprocessing: Name of the input scaling.
        bn_momentum: Share of the old moving statistics that a step keeps.
        padding: Padding of stride-2 layers.
        bn_epsilon: Epsilon inside the BatchNorm square root.
    """

    activation: Activation
    preprocessing: str
    bn_momentum: float
    padding: Padding = "same"
    bn_epsilon: float = 1e-3


@dataclass(frozen=True)
class VariantRow:
    """A published network: a base at two coefficients, and what it was made for.

    Args:
        base: Key in `BASES`.
        width: Width coefficient.
        depth: Depth coefficient.
        resolution: Nominal input side, in pixels.
        dropout: Nominal dropout rate before the classifier.
    """

    base: str
    width: float
    depth: float
    resolution: int
    dropout: float


#: Hidden channels of squeeze-and-excite per input channel of the block, in every family.
SE_RATIO = 0.25

#: Kinds of blocks, short for the tables.
_M: BlockKind = "mbconv"
_F: BlockKind = "fused"

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
    StageRow(1, 3, 1, 4, 24, _F, False, has_skips=False, expands_output=True),
    StageRow(2, 3, 2, 8, 32, _F, False),
    StageRow(4, 3, 2, 8, 48, _F, False),
    StageRow(5, 5, 2, 8, 96, _M, False),
    StageRow(4, 5, 1, 8, 144, _M, False),
    StageRow(2, 5, 2, 8, 192, _M, False),
)
MNASNET_A1_STAGES = (
    StageRow(1, 3, 1, 1, 16, _M, False, has_skips=False),
    StageRow(2, 3, 2, 6, 24, _M, False),
    StageRow(3, 5, 2, 3, 40, _M, True),
    StageRow(4, 3, 2, 6, 80, _M, False),
    StageRow(2, 3, 1, 6, 112, _M, True),
    StageRow(3, 5, 2, 6, 160, _M, True),
    StageRow(1, 3, 1, 6, 320, _M, False),
)
MNASNET_B1_STAGES = (
    StageRow(1, 3, 1, 1, 16, _M, False, has_skips=False),
    StageRow(3, 3, 2, 3, 24, _M, False),
    StageRow(3, 5, 2, 3, 40, _M, False),
    StageRow(3, 5, 2, 6, 80, _M, False),
    StageRow(2, 3, 1, 6, 96, _M, False),
    StageRow(4, 5, 2, 6, 192, _M, False),
    StageRow(1, 3, 1, 6, 320, _M, False, has_skips=False),
)
MNASNET_SMALL_STAGES = (
    StageRow(1, 3, 1, 1, 8, _M, False),
    StageRow(1, 3, 2, 3, 16, _M, False),
    StageRow(2, 3, 2, 6, 16, _M, False),
    StageRow(4, 5, 2, 6, 32, _M, True),
    StageRow(3, 3, 1, 6, 32, _M, True),
    StageRow(3, 5, 2, 6, 88, _M, True),
    StageRow(1, 3, 1, 6, 144, _M, False),
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
V2_S_STAGES = _v2_stages(
    (2, 1, 1, 24), (4, 2, 4, 48), (4, 2, 4, 64), (6, 2, 4, 128), (9, 1, 6, 160), (15, 2, 6, 256)
)
V2_M_STAGES = _v2_stages(
    (3, 1, 1, 24), (5, 2, 4, 48), (5, 2, 4, 80), (7, 2, 4, 160), (14, 1, 6, 176),
    (18, 2, 6, 304), (5, 1, 6, 512),
)  # fmt: skip
V2_L_STAGES = _v2_stages(
    (4, 1, 1, 32), (7, 2, 4, 64), (7, 2, 4, 96), (10, 2, 4, 192), (19, 1, 6, 224),
    (25, 2, 6, 384), (7, 1, 6, 640),
)  # fmt: skip
V2_XL_STAGES = _v2_stages(
    (4, 1, 1, 32), (8, 2, 4, 64), (8, 2, 4, 96), (16, 2, 4, 192), (24, 1, 6, 256),
    (32, 2, 6, 512), (8, 1, 6, 640),
)  # fmt: skip

FAMILIES: dict[str, FamilyRow] = {
    "b": FamilyRow("swish", "imagenet", 0.99),
    "lite": FamilyRow("relu6", "lite", 0.99),
    "edge": FamilyRow("relu", "lite", 0.99),
    "v2-b": FamilyRow("swish", "imagenet", 0.9),
    "v2": FamilyRow("swish", "v2", 0.9),
    "tinynet": FamilyRow("swish", "imagenet", 0.9, "symmetric", 1e-5),
    "mnasnet-a1": FamilyRow("relu", "imagenet", 0.99),
    "mnasnet-b1": FamilyRow("relu", "imagenet", 0.99),
    "mnasnet-small": FamilyRow("relu", "imagenet", 0.99),
}

#: What coefficients apply to: "v2-s-w0.25-d0.4" is the base "v2-s" at width 0.25, depth 0.4.
BASES: dict[str, BaseRow] = {
    "b": BaseRow("b", V1_STAGES, 32),
    "lite": BaseRow(
        "lite", LITE_STAGES, 32, scales_stem=False, top_rule="fixed", scales_ends=False
    ),
    "edge": BaseRow("edge", EDGE_STAGES, 32),
    "v2-b": BaseRow("v2-b", V2_BASE_STAGES, 32, has_ninety_percent_rule=False),
    "v2-s": BaseRow("v2", V2_S_STAGES, 24, resolution=384, has_ninety_percent_rule=False),
    "v2-m": BaseRow("v2", V2_M_STAGES, 24, resolution=480, has_ninety_percent_rule=False),
    "v2-l": BaseRow("v2", V2_L_STAGES, 32, resolution=480, has_ninety_percent_rule=False),
    "v2-xl": BaseRow("v2", V2_XL_STAGES, 32, resolution=512, has_ninety_percent_rule=False),
    "tinynet": BaseRow(
        "tinynet", V1_STAGES, 32, scales_stem=False, top_rule="widened", repeats_rule="nearest"
    ),
    "mnasnet-a1": BaseRow("mnasnet-a1", MNASNET_A1_STAGES, 32, top_rule="fixed", scales_ends=False),
    "mnasnet-b1": BaseRow("mnasnet-b1", MNASNET_B1_STAGES, 32, top_rule="fixed", scales_ends=False),
    "mnasnet-small": BaseRow(
        "mnasnet-small", MNASNET_SMALL_STAGES, 8, top_rule="fixed", scales_ends=False
    ),
}

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
    "v2-s": VariantRow("v2-s", 1.0, 1.0, 384, 0.2),
    "v2-m": VariantRow("v2-m", 1.0, 1.0, 480, 0.3),
    "v2-l": VariantRow("v2-l", 1.0, 1.0, 480, 0.4),
    "v2-xl": VariantRow("v2-xl", 1.0, 1.0, 512, 0.4),
    "tinynet-a": VariantRow("tinynet", 1.0, 1.2, 192, 0.2),
    "tinynet-b": VariantRow("tinynet", 0.75, 1.1, 188, 0.2),
    "tinynet-c": VariantRow("tinynet", 0.54, 0.85, 184, 0.2),
    "tinynet-d": VariantRow("tinynet", 0.54, 0.695, 152, 0.2),
    "tinynet-e": VariantRow("tinynet", 0.51, 0.6, 106, 0.2),
    "mnasnet-a1": VariantRow("mnasnet-a1", 1.0, 1.0, 224, 0.2),
    "mnasnet-b1": VariantRow("mnasnet-b1", 1.0, 1.0, 224, 0.2),
    "mnasnet-small": VariantRow("mnasnet-small", 1.0, 1.0, 224, 0.2),
    **{
        f"{base}-w{width:g}-d1": VariantRow(base, width, 1.0, 224, 0.2)
        for base, widths in (
            ("mnasnet-a1", (0.5, 0.75, 1.4)),
            ("mnasnet-b1", (0.5, 0.75, 1.3, 1.4)),
        )
        for width in widths
    },
}
