"""What the name tables of the Keras and TensorFlow dialects share: layers by part of a block.

Each dialect says how it calls a part ("depthwise_conv" of stage 2, block 1:
"block2a_dwconv"); reading the network and building the table follow from that.
Arrays are canonical already, so layouts are identities.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from efn_compose.arch import ArchSpec, inventory
from efn_compose.checkpoints.dialect import Row
from efn_compose.checkpoints.raw import RawCheckpoint
from efn_compose.checkpoints.spec_reading import BlockShape, spec_from_stages
from efn_compose.errors import UnmappedTensorError, describe_problems

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
    kind: str
    has_expand: bool


#: The foreign layer of a part of a block: (place, part) to name.
PartName = Callable[[BlockPlace, str], str]


def keras_rows(
    spec: ArchSpec,
    classes: int | None,
    raw: RawCheckpoint | None,
    ends: dict[str, str],
    part_name: PartName,
) -> Iterator[Row]:
    """Yield the name table of a network, in network order.

    Args:
        spec: The network.
        classes: Width of the classifier, None for none.
        raw: The checkpoint; tells whether depthwise kernels are called "kernel" (Keras 3).
        ends: Foreign layers of stem, top and classifier by canonical layer.
        part_name: Foreign layer of a part of a block.
    """
    layers = dict(ends)
    for index, block in enumerate(spec.blocks):
        place = BlockPlace(index, block.stage, block.repeat, block.kind, block.has_expand)
        for part in PARTS:
            layers[f"{block.name}_{part}"] = part_name(place, part)
    for tensor in inventory(spec, classes):
        foreign = f"{layers[tensor.layer]}/{tensor.role}"
        if tensor.role == "depthwise_kernel" and raw is not None and foreign not in raw.tensors:
            foreign = f"{layers[tensor.layer]}/kernel"
        yield Row(foreign, tensor.name)


def read_blocks(
    raw: RawCheckpoint, places: Sequence[tuple[int, int]], part_name: PartName
) -> list[BlockShape]:
    """Return the shapes of blocks, read from their kernels.

    Args:
        raw: The checkpoint.
        places: (stage, repeat) of each block, in network order.
        part_name: Foreign layer of a part of a block.

    Raises:
        UnmappedTensorError: A block lacks its projection; all such blocks are listed.
    """
    shapes, problems = [], []
    for index, (stage, repeat) in enumerate(places):
        shape = _read_block(raw, index, stage, repeat, part_name)
        if shape is None:
            problems.append(f"- stage {stage} block {repeat}: no projection kernel")
        else:
            shapes.append(shape)
    if problems:
        raise UnmappedTensorError(
            describe_problems(f"{raw.path}: blocks are incomplete.", problems)
        )
    return shapes


def spec_from_blocks(
    raw: RawCheckpoint, places: Sequence[tuple[int, int]], part_name: PartName, top_conv: str
) -> ArchSpec:
    """Return the network of a Keras checkpoint, every width read from its kernels.

    Args:
        raw: The checkpoint.
        places: (stage, repeat) of each block, in network order.
        part_name: Foreign layer of a part of a block.
        top_conv: Foreign layer of the last 1x1 convolution.

    Raises:
        UnmappedTensorError: A block lacks its projection; all such blocks are listed.
    """
    shapes = read_blocks(raw, places, part_name)
    stages = [
        [shape for (number, _), shape in zip(places, shapes, strict=True) if number == stage]
        for stage in sorted({number for number, _ in places})
    ]
    return spec_from_stages(
        output_channels(raw, "stem_conv"),
        stages,
        output_channels(raw, top_conv),
        where=str(raw.path),
    )


def _read_block(
    raw: RawCheckpoint, index: int, stage: int, repeat: int, part_name: PartName
) -> BlockShape | None:
    # A source's name for a part may depend on the kind of block; try each kind until one fits.
    for kind, has_expand in (
        ("mbconv", True),
        ("mbconv", False),
        ("fused", True),
        ("fused", False),
    ):
        place = BlockPlace(index, stage, repeat, kind, has_expand)
        expand = _kernel(raw, part_name(place, "expand_conv")) if has_expand else None
        project = _kernel(raw, part_name(place, "project_conv"))
        depthwise = _kernel(raw, part_name(place, "depthwise_conv")) if kind == "mbconv" else None
        if project is None or (has_expand and expand is None):
            continue
        if kind == "mbconv" and depthwise is None:
            continue
        first = expand or depthwise or project
        squeeze = _kernel(raw, part_name(place, "se_reduce"))
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


def _kernel(raw: RawCheckpoint, layer: str) -> tuple[int, ...] | None:
    """Return the shape of a layer's 4-D kernel, or None."""
    for role in ("kernel", "depthwise_kernel"):
        tensor = raw.tensors.get(f"{layer}/{role}")
        if tensor is not None and len(tensor.shape) == 4:
            return tensor.shape
    return None


def output_channels(raw: RawCheckpoint, layer: str) -> int:
    """Return the output width of a convolution or dense layer, 0 where there is none.

    Args:
        raw: The checkpoint.
        layer: Foreign name of the layer.
    """
    tensor = raw.tensors.get(f"{layer}/kernel")
    return int(tensor.shape[-1]) if tensor is not None and tensor.shape else 0


def has_all(raw: RawCheckpoint, names: Iterable[str]) -> bool:
    """Return whether a checkpoint has tensors of all these names."""
    return all(name in raw.tensors for name in names)
