"""The parts of a block under any source's names, and its shape read through these names.

A source says how it calls a part ("depthwise_conv" of stage 2, block 1: "block2a_dwconv",
"blocks.1.0.conv_dw", ...); the network is read, and the name table built, from that alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from efn_compose.arch import ArchSpec
from efn_compose.arch.specs import BlockKind
from efn_compose.checkpoints.dialects.spec_reading import BlockShape

#: Parts of a block, as canonical layer names end.
PARTS = (
    "expand_conv",
    "expand_bn",
    "depthwise_conv",
    "depthwise_bn",
    "se_reduce",
    "se_expand",
    "project_conv",
    "project_bn",
)


#: Kinds of blocks with and without expansion, in the order in which they are tried.
_SHAPES: tuple[tuple[BlockKind, bool], ...] = (
    ("mbconv", True),
    ("mbconv", False),
    ("fused", True),
    ("fused", False),
)


@dataclass(frozen=True)
class BlockPlace:
    """Where a block stands, and what decides how sources call its parts.

    Args:
        index: Number of the block in the network, from 0.
        stage: Stage, from 1.
        repeat: Number in its stage, from 1.
        kind: "mbconv" or "fused".
        has_expand: Whether it has an expand convolution.
    """

    index: int
    stage: int
    repeat: int
    kind: BlockKind
    has_expand: bool


#: The foreign layer of a part of a block: (place, part) to name.
PartName = Callable[[BlockPlace, str], str]

#: The canonical shape of a foreign layer's kernel, for a part: (layer, part) to (height, width,
#: in, out) or, of a depthwise kernel, (height, width, channel, 1); None where there is none.
KernelShape = Callable[[str, str], tuple[int, ...] | None]


def block_layers(spec: ArchSpec, part_name: PartName) -> dict[str, str]:
    """Return the foreign layer of every part of every block, by canonical layer.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> layers = block_layers(arch_spec("b0"), lambda place, part: f"{place.index}.{part}")
        >>> layers["stage2_block1_project_bn"]
        '1.project_bn'
    """
    return {
        f"{block.name}_{part}": part_name(
            BlockPlace(index, block.stage, block.repeat, block.kind, block.has_expand), part
        )
        for index, block in enumerate(spec.blocks)
        for part in PARTS
    }


def read_block(
    where: tuple[int, int, int], part_name: PartName, kernel: KernelShape
) -> BlockShape | None:
    """Return the shape of a block as its kernels show it; None if there is no block.

    Args:
        where: (index in the network from 0, stage from 1, repeat from 1).
        part_name: Foreign layer of a part of a block.
        kernel: Shape of a layer's kernel.
    """
    # A source's name for a part may depend on the kind of block; try each kind until one fits.
    for kind, has_expand in _SHAPES:
        place = BlockPlace(*where, kind, has_expand)

        def shape(part: str, place: BlockPlace = place) -> tuple[int, ...] | None:
            return kernel(part_name(place, part), part)

        expand = shape("expand_conv") if has_expand else None
        depthwise = shape("depthwise_conv") if kind == "mbconv" else None
        project = shape("project_conv")
        if project is None or (has_expand and expand is None):
            continue
        if kind == "mbconv" and depthwise is None:
            continue
        first = expand or depthwise or project
        squeeze = shape("se_reduce")
        return BlockShape(
            kind=kind,
            kernel=(depthwise or first)[0],
            in_channels=first[2],
            mid_channels=expand[3] if expand else first[2],
            out_channels=project[3],
            se_channels=squeeze[-1] if squeeze else 0,
            has_expand=has_expand,
        )
    return None
