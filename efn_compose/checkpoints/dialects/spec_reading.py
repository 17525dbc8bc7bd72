"""From block widths read in a file to an `ArchSpec`, named where a table knows it.

Strides are not visible in tensors. Every published EfficientNet has the same
stride in stages 1 to 7, so a stage number gives it; a file with any other number
of stages needs `--arch`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from efn_compose.arch import FAMILIES, VARIANTS, ArchSpec, BlockSpec, arch_spec, scaled_spec
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError, ConfigError, describe_problems

#: Stride of the first block of stage 1, 2, ...; the same in V1, Lite, EdgeTPU and V2.
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)


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

    kind: str
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
    if len(stages) not in (6, 7):
        raise AmbiguousCheckpointError(
            f"{where}: {len(stages)} stages. Strides are known for networks of 6 (EdgeTPU, V2) or 7 "
            "(V1, Lite, V2-M to XL) stages and are not stored in the file."
        )
    family = _family(stages)
    blocks = []
    width = stem_channels
    for number, stage in enumerate(stages, start=1):
        for repeat, shape in enumerate(stage, start=1):
            if shape.in_channels != width:
                raise ConfigError(
                    f"{where}: stage {number} block {repeat} reads {shape.in_channels} channels, "
                    f"the layer before it gives {width}."
                )
            stride = STAGE_STRIDES[number - 1] if repeat == 1 else 1
            fits = stride == 1 and shape.in_channels == shape.out_channels
            is_edge_entry = family == "edge" and number == repeat == 1
            fits = fits and (repeat > 1 or first_blocks_skip) and not is_edge_entry
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
                    has_skip=fits,
                )
            )
            width = shape.out_channels
    spec = ArchSpec(
        variant="custom",
        family=family,
        width=1.0,
        depth=1.0,
        resolution=224,
        dropout=0.2,
        stem_channels=stem_channels,
        blocks=tuple(blocks),
        top_channels=top_channels,
        stem_stride=stem_stride,
    )
    return name_spec(spec)


def split_stages(
    blocks: Sequence[BlockShape], request: Request, where: str
) -> list[list[BlockShape]]:
    """Return the blocks of a file that numbers them through, by stage.

    A stage ends where kernel, kind or output width change. Narrow networks can
    have neighbouring stages alike in all three; then `--arch` must say which.

    Raises:
        AmbiguousCheckpointError: The stages cannot be told apart; candidates are listed.
    """
    named = requested_spec(request)
    if named is not None and len(named.blocks) == len(blocks):
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
    # "efficientnet_b0" is a library's model name, which its dialect reads.
    if request.arch is None or "efficientnet" in request.arch.lower():
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
    for scaled in _scaled_candidates(spec):
        if scaled.same_tensors_as(spec):
            return scaled
    return spec


def _published() -> Iterator[tuple[str, ArchSpec]]:
    for name in VARIANTS:
        yield name, arch_spec(name)


def _known_kernels() -> set[tuple[int, ...]]:
    tables = [row.stages for row in FAMILIES.values() if row.stages]
    known = {tuple(stage.kernel for stage in stages) for stages in tables}
    return known | {(3,) * 6, (3,) * 7}


def _family(stages: Sequence[Sequence[BlockShape]]) -> str:
    """Return the family whose stage table has these kinds, kernels and ratios; else "custom"."""
    first = [stage[0] for stage in stages]
    pattern = [(shape.kind, shape.kernel, shape.se_channels > 0) for shape in first]
    for family, row in FAMILIES.items():
        if not row.stages or len(row.stages) != len(stages):
            continue
        table = [(stage.kind, stage.kernel, stage.has_se) for stage in row.stages]
        if pattern == table and first[0].has_expand == (row.stages[0].expand_ratio != 1):
            repeats = [len(stage) for stage in stages]
            is_v2_small = family == "v2-b" and first[0].in_channels == first[0].out_channels
            if is_v2_small and repeats[0] > 1 and first[0].in_channels == 24:
                return "v2"
            return family
    fused = [shape.kind == "fused" for shape in first]
    if (
        len(stages) == 7
        and fused == [True] * 3 + [False] * 4
        and not first[0].has_expand
        and all(shape.se_channels and shape.kernel == 3 for shape in first[3:])
    ):
        return "v2"
    return "custom"


def _scaled_candidates(spec: ArchSpec) -> Iterator[ArchSpec]:
    """Yield networks of the family with short coefficients and the same stem, width and depth."""
    row = FAMILIES.get(spec.family)
    if row is None or not row.stages:
        return
    widths = sorted(
        (step / 100 for step in range(5, 801)), key=lambda w: (len(f"{w:g}"), abs(w - 1))
    )
    depths = sorted(
        (step / 20 for step in range(1, 401)), key=lambda d: (len(f"{d:g}"), abs(d - 1))
    )
    depth = next(
        (d for d in depths if scaled_spec(spec.family, 1.0, d).stage_repeats == spec.stage_repeats),
        None,
    )
    if depth is None:
        return
    for width in widths:
        scaled = scaled_spec(spec.family, width, depth)
        if scaled.stem_channels == spec.stem_channels and (
            scaled.stage_channels == spec.stage_channels
        ):
            yield dataclasses.replace(scaled, stem_stride=spec.stem_stride)
