"""From block widths read in a file to an `ArchSpec`, named where a table knows it.

Strides and skips are not visible in tensors. They come from the stage table whose kinds,
kernels and squeeze-and-excites the blocks have; other networks of as many stages get the
strides that all tables of that length share.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from efn_compose.arch import (
    BASES,
    VARIANTS,
    ArchSpec,
    BlockSpec,
    arch_spec,
    scaled_spec,
)
from efn_compose.arch.specs import BlockKind
from efn_compose.arch.tables import BaseRow
from efn_compose.arch.variants import scaled_repeats, scaled_widths
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError, ConfigError, describe_problems

_LIBRARY_NAME = re.compile(r"efficientnet|net_")


@dataclass(frozen=True)
class BlockShape:
    """The shape of a block, read from its tensors.

    Args:
        kind: "mbconv" or "fused".
        kernel: Side of the k x k kernel.
        in_channels: Input channels.
        mid_channels: Expanded channels, `in_channels` where there is no expansion.
        out_channels: Output channels.
        se_channels: Hidden squeeze-and-excite channels, 0 for none.
        has_expand: Whether there is an expand convolution.
    """

    kind: BlockKind
    kernel: int
    in_channels: int
    mid_channels: int
    out_channels: int
    se_channels: int
    has_expand: bool

    @property
    def signature(self) -> tuple[object, ...]:
        """What all repeats of one stage have in common."""
        return self.kind, self.kernel, self.has_expand, self.se_channels > 0, self.out_channels


def spec_from_stages(
    stem_channels: int,
    stages: Sequence[Sequence[BlockShape]],
    top_channels: int,
    *,
    stem_stride: int = 2,
    where: str = "checkpoint",
    first_blocks_skip: bool = True,
) -> ArchSpec:
    """Return the network whose stages are known.

    Args:
        stem_channels: Output channels of the stem.
        stages: Blocks by stage.
        top_channels: Output channels of the last 1x1 convolution, 0 for none.
        stem_stride: Stride of the stem.
        where: Name of the file, for messages.
        first_blocks_skip: Whether the first block of a stage adds its input too where
            widths and stride allow it; some libraries never do.

    Raises:
        AmbiguousCheckpointError: The number of stages is not one with known strides.
        ConfigError: Widths do not chain.

    Example:
        >>> block = BlockShape("mbconv", 3, 32, 32, 16, 8, False)
        >>> spec_from_stages(32, [[block]] * 1, 0)  # doctest: +SKIP
    """
    _check_widths(stem_channels, stages, where)
    read = _Reading(stem_channels, stages, top_channels, stem_stride, first_blocks_skip)
    bases = _matching_bases(stages)
    if not bases:
        strides = _usual_strides(len(stages), where)
        return read.spec("custom", strides, (True,) * len(stages))
    nearest = min(bases, key=lambda base: _distance(BASES[base], stem_channels, stages))
    return name_spec(read.spec_of(BASES[nearest]))


@dataclass(frozen=True)
class _Reading:
    """What a file reveals of a network, all but strides and skips."""

    stem_channels: int
    stages: Sequence[Sequence[BlockShape]]
    top_channels: int
    stem_stride: int
    first_blocks_skip: bool

    def spec_of(self, base: BaseRow) -> ArchSpec:
        strides = tuple(row.stride for row in base.stages)
        return self.spec(base.family, strides, tuple(row.has_skips for row in base.stages))

    def spec(self, family: str, strides: tuple[int, ...], has_skips: tuple[bool, ...]) -> ArchSpec:
        blocks = []
        for number, stage in enumerate(self.stages, start=1):
            for repeat, shape in enumerate(stage, start=1):
                stride = strides[number - 1] if repeat == 1 else 1
                fits = stride == 1 and shape.in_channels == shape.out_channels
                may = has_skips[number - 1] and (repeat > 1 or self.first_blocks_skip)
                blocks.append(
                    BlockSpec(
                        stage=number,
                        repeat=repeat,
                        kind=shape.kind,
                        kernel=shape.kernel,
                        stride=stride,
                        in_channels=shape.in_channels,
                        mid_channels=shape.mid_channels,
                        out_channels=shape.out_channels,
                        se_channels=shape.se_channels,
                        has_expand=shape.has_expand,
                        has_skip=fits and may,
                    )
                )
        return ArchSpec(
            variant="custom",
            family=family,
            width=1.0,
            depth=1.0,
            resolution=224,
            dropout=0.2,
            stem_channels=self.stem_channels,
            blocks=tuple(blocks),
            top_channels=self.top_channels,
            stem_stride=self.stem_stride,
        )


def _check_widths(stem_channels: int, stages: Sequence[Sequence[BlockShape]], where: str) -> None:
    """Raise `ConfigError` unless every block reads what the one before it puts out."""
    width = stem_channels
    for number, stage in enumerate(stages, start=1):
        for repeat, shape in enumerate(stage, start=1):
            if shape.in_channels != width:
                raise ConfigError(
                    f"{where}: stage {number} block {repeat} reads {shape.in_channels} channels, "
                    f"the layer before it gives {width}."
                )
            width = shape.out_channels


def split_stages(
    blocks: Sequence[BlockShape], request: Request, where: str
) -> list[list[BlockShape]]:
    """Return the blocks of a file that numbers them through, by stage.

    The stages of a published network are those of its table. Elsewhere a stage ends where
    kernel, kind or output width change. Narrow networks can have neighbouring stages alike
    in all three; then `--arch` must say which.

    Raises:
        AmbiguousCheckpointError: The stages cannot be told apart; candidates are listed.
    """
    named = requested_spec(request)
    if named is None or len(named.blocks) != len(blocks):
        named = next((spec for _, spec in _published() if _shapes(spec) == list(blocks)), None)
    if named is not None:
        iterator = iter(blocks)
        return [[next(iterator) for _ in range(count)] for count in named.stage_repeats]
    stages = [list(group) for _, group in groupby(blocks, key=lambda block: block.signature)]
    kernels = tuple(stage[0].kernel for stage in stages)
    if kernels in _known_kernels():
        return stages
    candidates = [
        f"{name}: repeats {spec.stage_repeats}"
        for name, spec in _published()
        if len(spec.blocks) == len(blocks)
    ]
    raise AmbiguousCheckpointError(
        describe_problems(
            f"{where}: {len(blocks)} blocks fall into {len(stages)} runs of equal kernel and width "
            f"{[len(stage) for stage in stages]}, which are no stages of a known network. "
            "Published networks with this number of blocks:",
            candidates or ["none"],
            "Name the network: --arch b0, or --arch b-w0.5-d0.7 for other coefficients.",
        )
    )


def requested_spec(request: Request) -> ArchSpec | None:
    """Return the network that `--arch` names, or None if it names a library's model or nothing."""
    # "efficientnet_b0" and "tinynet_a" are libraries' model names, which their dialects read.
    if request.arch is None or _LIBRARY_NAME.search(request.arch.lower()):
        return None
    try:
        return arch_spec(request.arch)
    except ConfigError:
        return None


def name_spec(spec: ArchSpec) -> ArchSpec:
    """Return a network under its table's name, coefficients and resolution, if a table has it.

    Example:
        >>> import dataclasses
        >>> name_spec(dataclasses.replace(arch_spec("b3"), variant="custom")).variant
        'b3'
    """
    for _, known in _published():
        if known.same_tensors_as(spec):
            return known
    shapes = iter(_shapes(spec))
    stages = [[next(shapes) for _ in range(count)] for count in spec.stage_repeats]
    for base in _matching_bases(stages):
        for scaled in _scaled_candidates(base, spec):
            if scaled.same_tensors_as(spec):
                return scaled
    return spec


def _shapes(spec: ArchSpec) -> list[BlockShape]:
    """Return what tensors reveal of every block of a network."""
    fields = [field.name for field in dataclasses.fields(BlockShape)]
    return [BlockShape(**{name: getattr(block, name) for name in fields}) for block in spec.blocks]


def _published() -> Iterator[tuple[str, ArchSpec]]:
    for name in VARIANTS:
        yield name, arch_spec(name)


def _known_kernels() -> set[tuple[int, ...]]:
    return {tuple(stage.kernel for stage in row.stages) for row in BASES.values()}


def _usual_strides(count: int, where: str) -> tuple[int, ...]:
    """Return the strides that all stage tables of so many stages share."""
    known = {
        tuple(stage.stride for stage in row.stages)
        for row in BASES.values()
        if len(row.stages) == count
    }
    if len(known) != 1:
        counts = sorted({len(row.stages) for row in BASES.values()})
        raise AmbiguousCheckpointError(
            f"{where}: {count} stages. Strides are not stored in the file; they are known for "
            f"networks of {' or '.join(map(str, counts))} stages."
        )
    return known.pop()


def _matching_bases(stages: Sequence[Sequence[BlockShape]]) -> list[str]:
    """Return the bases whose stage tables have these kinds, kernels and squeeze-and-excites."""
    first = [stage[0] for stage in stages]
    pattern = [
        (shape.kind, shape.kernel, shape.se_channels > 0, shape.has_expand) for shape in first
    ]
    return [
        base
        for base, row in BASES.items()
        if pattern
        == [
            (stage.kind, stage.kernel, stage.has_se, stage.expand_ratio != 1)
            for stage in row.stages
        ]
    ]


def _distance(row: BaseRow, stem: int, stages: Sequence[Sequence[BlockShape]]) -> float:
    """Return how far the proportions of a network's widths are from a table's.

    A width coefficient changes all widths by one factor; the spread of these factors
    (logarithms, largest minus smallest) is what it does not explain.
    """
    widths = [stem, *(stage[0].out_channels for stage in stages)]
    table = [row.stem, *(stage.channels for stage in row.stages)]
    factors = [math.log(mine / theirs) for mine, theirs in zip(widths, table, strict=True)]
    return max(factors) - min(factors)


@lru_cache(maxsize=64)
def _short_coefficients(step: float, count: int) -> tuple[float, ...]:
    """Return multiples of a step: those with the shortest names first, then those nearest to 1."""
    numbers = (round(number * step, 9) for number in range(1, count + 1))
    return tuple(sorted(numbers, key=lambda number: (len(f"{number:g}"), abs(number - 1))))


def _scaled_candidates(base: str, spec: ArchSpec) -> Iterator[ArchSpec]:
    """Yield networks of a base with short coefficients and the same stem, widths and repeats."""
    depth = next(
        (
            depth
            for depth in _short_coefficients(0.05, 400)
            if scaled_repeats(base, depth) == spec.stage_repeats
        ),
        None,
    )
    if depth is None:
        return
    wanted = (spec.stem_channels, spec.stage_channels, spec.top_channels)
    for width in _short_coefficients(0.01, 800):
        if width >= 0.05 and scaled_widths(base, width) == wanted:
            scaled = scaled_spec(base, width, depth)
            yield dataclasses.replace(scaled, stem_stride=spec.stem_stride)
