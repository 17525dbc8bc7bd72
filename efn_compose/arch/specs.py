"""What an EfficientNet is made of: one record per block, one per network."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from efn_compose.errors import ConfigError, describe_problems

#: Key in `tables.FAMILIES`, or "custom" for a network of no family.
Family = str
BlockKind = Literal["mbconv", "fused"]
#: By the statistics of a batch (BatchNorm), or of groups of channels in each image (GroupNorm).
Normalisation = Literal["batch", "group"]


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
class DecoderSpec:
    """A decoder on a network's feature points, from its coarsest map back to the image's size.

    Args:
        kind: "classic" enlarges, reads the skip, and convolves twice, with 256 to 16 channels
            (Ronneberger et al. 2015, arXiv:1505.04597); "mirror" makes a block like those of the
            stage at the same size.
        outputs: Channels it puts out, such as the classes of a mask.
        skips: Whether it reads the finer feature points, or the coarsest one alone.
        repeats: Of a mirror: "one" block per step, or "all" that the stage has.

    Example:
        >>> DecoderSpec("mirror", outputs=2).skips
        True
    """

    kind: Literal["classic", "mirror"] = "classic"
    outputs: int = 2
    skips: bool = True
    repeats: Literal["one", "all"] = "one"

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in ("classic", "mirror"):
            problems.append(f"- kind: allowed 'classic' or 'mirror'. Received: {self.kind!r}")
        if self.repeats not in ("one", "all"):
            problems.append(f"- repeats: allowed 'one' or 'all'. Received: {self.repeats!r}")
        if self.kind == "classic" and self.repeats == "all":
            problems.append("- repeats: 'all' is of a mirror; a classic decoder has no stages")
        if not isinstance(self.outputs, int) or self.outputs < 1:
            problems.append(f"- outputs: allowed 1 or more. Received: {self.outputs!r}")
        if problems:
            raise ConfigError(describe_problems("There is no such decoder.", problems))

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return dataclasses.asdict(self)


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
        decoder: What stands on the feature points, for whoever treats it as one network with
            the rest (`donors.unet`); weight files hold it as a further part.
        normalisation: "batch", or "group": GroupNorm with eight channels per group (Wu and He
            2018, arXiv:1803.08494) in all places where the family has BatchNorm.

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
    decoder: DecoderSpec | None = None
    normalisation: Normalisation = "batch"

    def __post_init__(self) -> None:
        if self.normalisation not in ("batch", "group"):
            raise ConfigError(
                f"normalisation: allowed 'batch' or 'group'. Received: {self.normalisation!r}."
            )

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
        fields = dataclasses.asdict(self)
        if self.decoder is None:
            del fields["decoder"]
        if self.normalisation == "batch":
            del fields["normalisation"]
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "ArchSpec":
        """Return the network that `to_json` wrote."""
        read = {**fields, "blocks": tuple(BlockSpec(**block) for block in fields["blocks"])}
        if fields.get("decoder"):
            read["decoder"] = DecoderSpec(**fields["decoder"])
        return cls(**read)

    def with_decoder(self, decoder: DecoderSpec | None) -> "ArchSpec":
        """Return the network with a decoder on it, or with none."""
        return dataclasses.replace(self, decoder=decoder)

    def same_tensors_as(self, other: "ArchSpec") -> bool:
        """Return whether two networks have the same layers and widths, under any names."""
        return self._layers == other._layers

    @property
    def _layers(self) -> tuple[Any, ...]:
        ends = self.stem_channels, self.stem_stride, self.top_channels
        return *ends, self.blocks, self.decoder, self.normalisation
