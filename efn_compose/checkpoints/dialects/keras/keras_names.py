"""Shared parts of the Keras and TensorFlow name tables: layers by part of a block.

Each dialect says how it calls a part ("depthwise_conv" of stage 2, block 1:
"block2a_dwconv"); reading the network and building the table follow from that.
Arrays are canonical already, so layouts are identities.
"""

from collections.abc import Iterator, Sequence

from efn_compose.arch import ArchSpec, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import PartName, block_layers, read_block
from efn_compose.checkpoints.dialects.dialect import Row
from efn_compose.checkpoints.dialects.spec_reading import BlockShape, spec_from_stages
from efn_compose.errors import UnmappedTensorError, describe_problems


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
    layers = {**ends, **block_layers(spec, part_name)}
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
        shape = read_block((index, stage, repeat), part_name, lambda layer, _: _kernel(raw, layer))
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
