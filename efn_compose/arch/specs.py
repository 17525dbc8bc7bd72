"""What an EfficientNet is made of: one record per block, one per network."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from efn_compose.errors import ConfigError

#: Key in `tables.FAMILIES`, or "custom" for a network of no family.
Family = str
BlockKind = Literal["mbconv", "fused"]


@dataclass(frozen=True)
class BlockSpec:
    """One inverted-residual block.

    Args:
        stage: Stage number, from 1.
        repeat: Number of the block in its stage, from 1.
        kind: "mbconv" (1x1 expand, depthwise k x k, 1x1 project) or "fused"
            (k x k expand, 1x1 project).
        kernel: Side of the k x k kernel, in pixels.
        stride: 1 or 2.
        in_channels: Channels of the block's input.
        mid_channels: Channels between expand and project; `in_channels` where
            `has_expand` is false.
        out_channels: Channels of the block's output.
        se_channels: Hidden channels of squeeze-and-excite; 0 for none.
        has_expand: Whether an expand convolution exists. A fused block without
            one is a single k x k convolution followed by the activation.
        has_skip: Whether the block's input is added to its output.

    Example:
        >>> BlockSpec(2, 1, "mbconv", 3, 2, 16, 96, 24, 4, True, False).name
        'stage2_block1'
    """

    stage: int
    repeat: int
    kind: BlockKind
    kernel: int
    stride: int
    in_channels: int
    mid_channels: int
    out_channels: int
    se_channels: int
    has_expand: bool
    has_skip: bool

    def __post_init__(self) -> None:
        problems = []
        if self.has_skip and (self.stride != 1 or self.in_channels != self.out_channels):
            problems.append("a skip needs stride 1 and equal input and output channels")
        if not self.has_expand and self.mid_channels != self.in_channels:
            problems.append("without expansion mid_channels must equal in_channels")
        if (
            min(self.kernel, self.stride, self.in_channels, self.mid_channels, self.out_channels)
            < 1
        ):
            problems.append("kernel, stride and channel counts must be at least 1")
        if problems:
            raise ConfigError(f"{self.name}: " + "; ".join(problems) + f". Received: {self!r}.")

    @property
    def name(self) -> str:
        """Prefix of the block's layer names."""
        return f"stage{self.stage}_block{self.repeat}"

    @property
    def is_single_conv(self) -> bool:
        """Whether the block is one k x k convolution, BatchNorm and activation (V2 stage 1)."""
        return self.kind == "fused" and not self.has_expand


@dataclass(frozen=True)
class ArchSpec:
    """A whole network: stem, blocks, top. Every width is explicit.

    Args:
        variant: Name in the variant table, or "family-wW-dD" for other coefficients.
        family: Networks of one family nest into each other.
        width: Width coefficient; NaN-free, 1.0 for V2-S to XL.
        depth: Depth coefficient.
        resolution: Nominal input side, in pixels.
        dropout: Nominal dropout rate before the classifier.
        stem_channels: Channels of the stem convolution.
        blocks: All blocks in network order.
        top_channels: Channels of the last 1x1 convolution; 0 for none.
        stem_stride: 2, or 1 in CIFAR variants.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> arch_spec("b0").stage_repeats
        (1, 2, 2, 3, 3, 4, 1)
    """

    variant: str
    family: Family
    width: float
    depth: float
    resolution: int
    dropout: float
    stem_channels: int
    blocks: tuple[BlockSpec, ...]
    top_channels: int
    stem_stride: int = 2

    @property
    def stage_count(self) -> int:
        """Number of stages."""
        return self.blocks[-1].stage

    @property
    def stage_repeats(self) -> tuple[int, ...]:
        """Number of blocks in each stage."""
        return tuple(
            sum(block.stage == stage for block in self.blocks)
            for stage in range(1, self.stage_count + 1)
        )

    @property
    def stage_channels(self) -> tuple[int, ...]:
        """Output channels of each stage."""
        return tuple(
            [block.out_channels for block in self.blocks if block.stage == stage][-1]
            for stage in range(1, self.stage_count + 1)
        )

    @property
    def feature_channels(self) -> int:
        """Channels of the pooled feature vector that the classifier reads."""
        return self.top_channels or self.blocks[-1].out_channels

    def stage_blocks(self, stage: int) -> Iterator[BlockSpec]:
        """Yield the blocks of one stage, in order."""
        return (block for block in self.blocks if block.stage == stage)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values.

        Example:
            >>> from efn_compose.arch import arch_spec
            >>> ArchSpec.from_json(arch_spec("b0").to_json()) == arch_spec("b0")
            True
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "ArchSpec":
        """Return the network that `to_json` wrote."""
        return cls(**{**fields, "blocks": tuple(BlockSpec(**block) for block in fields["blocks"])})

    def same_tensors_as(self, other: "ArchSpec") -> bool:
        """Return whether two networks have the same layers and widths, under any names."""
        return (self.stem_channels, self.stem_stride, self.blocks, self.top_channels) == (
            other.stem_channels,
            other.stem_stride,
            other.blocks,
            other.top_channels,
        )
