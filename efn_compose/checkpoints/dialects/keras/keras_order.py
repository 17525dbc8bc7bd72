"""Names for `.weights.h5` files that only number their layers by class.

tf-keras and early Keras 3 store "conv2d_5", counted in layer order per class,
without the layers' names. Within one class the order is the network's order, so
the sequence of kernels, with and without bias, spells the blocks.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.block_names import BlockPlace, PartName
from efn_compose.checkpoints.dialects.dialect import Prepared, Request
from efn_compose.checkpoints.dialects.spec_reading import BlockShape, split_stages
from efn_compose.errors import AmbiguousCheckpointError


@dataclass(frozen=True)
class _Conv:
    """One numbered convolution."""

    layer: str
    shape: tuple[int, ...]
    has_bias: bool


def is_numbered(raw: RawCheckpoint) -> bool:
    """Return whether a checkpoint numbers its layers by class, and may be an EfficientNet.

    Args:
        raw: A checkpoint of Keras.
    """
    return all(
        name in raw.tensors
        for name in (
            "conv2d/kernel",
            "conv2d_1/kernel",
            "batch_normalization/gamma",
            "depthwise_conv2d/depthwise_kernel",
        )
    )


def starts_depthwise(raw: RawCheckpoint) -> bool:
    """Return whether the first depthwise kernel follows the stem directly, as in V1.

    Args:
        raw: A checkpoint for which `is_numbered` holds.
    """
    return (
        raw.tensors["depthwise_conv2d/depthwise_kernel"].shape[2]
        == (raw.tensors["conv2d/kernel"].shape[3])
    )


def name_by_order(
    raw: RawCheckpoint, request: Request, ends: Mapping[str, str], part_name: PartName
) -> Prepared:
    """Return a numbered checkpoint under the names of a dialect.

    Args:
        raw: A checkpoint for which `is_numbered` holds.
        request: May name the network, where stages cannot be told apart.
        ends: Layers of stem, top and classifier by canonical layer.
        part_name: Layer of a part of a block.

    Raises:
        AmbiguousCheckpointError: The sequence of layers is not one of an
            EfficientNet, or its stages cannot be told apart.
    """
    convs = [
        _Conv(layer, raw.tensors[f"{layer}/kernel"].shape, f"{layer}/bias" in raw.tensors)
        for layer in _layers(raw, "conv2d")
    ]
    depthwise = _layers(raw, "depthwise_conv2d")
    blocks = list(_blocks(convs[1:-1], len(depthwise), raw))
    shapes = _shapes(blocks, depthwise, raw)
    stages = split_stages(shapes, request, str(raw.path))
    order: list[tuple[str, BlockPlace | None]] = [("stem_bn", None)]
    renamed = {convs[0].layer: ends["stem_conv"], convs[-1].layer: ends["top_conv"]}
    index = 0
    rest = iter(depthwise)
    for stage, members in enumerate(stages, start=1):
        for repeat, shape in enumerate(members, start=1):
            place = BlockPlace(index, stage, repeat, shape.kind, shape.has_expand)
            for part, conv in blocks[index].items():
                renamed[conv.layer] = part_name(place, part)
            if shape.kind == "mbconv":
                renamed[next(rest)] = part_name(place, "depthwise_conv")
            parts = ["expand_bn"] if shape.has_expand else []
            parts += ["depthwise_bn"] if shape.kind == "mbconv" else []
            order += [(part, place) for part in (*parts, "project_bn")]
            index += 1
    order.append(("top_bn", None))
    norms = _layers(raw, "batch_normalization")
    if len(norms) < len(order):
        raise AmbiguousCheckpointError(
            f"{raw.path}: {len(norms)} BatchNorms beside {len(convs)} convolutions; an EfficientNet "
            f"of these convolutions has {len(order)}. Save the model as .keras, which stores the "
            "layers' names."
        )
    # Further norms are numbered after the network's, and stand behind it.
    for layer, (part, at) in zip(norms, order, strict=False):
        renamed[layer] = ends[part] if at is None else part_name(at, part)
    # A dense layer keeps its number; whether it is the classifier is for the caller to say.
    tensors = {_renamed(name, renamed): tensor for name, tensor in raw.tensors.items()}
    note = f"{len(renamed)} numbered layers named by their order"
    return Prepared(dataclasses.replace(raw, tensors=tensors, notes=(*raw.notes, note)))


#: Parts of the composite blocks of keras-cv and keras-hub, by attribute.
_COMPOSITE_PARTS = {
    "conv1": "expand_conv",
    "bn1": "expand_bn",
    "depthwise": "depthwise_conv",
    "bn2": "depthwise_bn",
    "se_conv1": "se_reduce",
    "se_conv2": "se_expand",
    "output_conv": "project_conv",
    "bn3": "project_bn",
}


def is_composite_numbered(raw: RawCheckpoint) -> bool:
    """Return whether a checkpoint numbers composite blocks: "mb_conv_block_3/conv1/kernel".

    Args:
        raw: A checkpoint of Keras.
    """
    return any(
        name.startswith(("mb_conv_block", "fused_mb_conv_block")) and name.count("/") == 2
        for name in raw.tensors
    )


def name_composites_by_order(
    raw: RawCheckpoint, request: Request, ends: Mapping[str, str], part_name: PartName
) -> Prepared:
    """Return a checkpoint of numbered composite blocks under the names of a dialect.

    All fused blocks precede all others, as in every V2 network.

    Args:
        raw: A checkpoint for which `is_composite_numbered` holds.
        request: May name the network, where stages cannot be told apart.
        ends: Layers of stem and top by canonical layer.
        part_name: Layer of a part of a block.

    Raises:
        AmbiguousCheckpointError: The stages cannot be told apart.
    """
    composites = _composites(raw, "fused_mb_conv_block") + _composites(raw, "mb_conv_block")
    shapes = [_composite_shape(raw, composite) for composite in composites]
    stages = split_stages(shapes, request, str(raw.path))
    renamed = {
        "conv2d": ends["stem_conv"],
        "conv2d_1": ends["top_conv"],
        "batch_normalization": ends["stem_bn"],
        "batch_normalization_1": ends["top_bn"],
    }
    index = 0
    for stage, members in enumerate(stages, start=1):
        for repeat, shape in enumerate(members, start=1):
            place = BlockPlace(index, stage, repeat, shape.kind, shape.has_expand)
            for attribute, part in _COMPOSITE_PARTS.items():
                renamed[f"{composites[index]}/{attribute}"] = part_name(place, part)
            index += 1
    tensors = {_renamed(name, renamed): tensor for name, tensor in raw.tensors.items()}
    note = f"{len(composites)} numbered composite blocks named by their order"
    return Prepared(dataclasses.replace(raw, tensors=tensors, notes=(*raw.notes, note)))


def _composites(raw: RawCheckpoint, stem: str) -> list[str]:
    """Return the composite layers "stem", "stem_1", ... in numeric order."""
    found = {name.split("/")[0] for name in raw.tensors if name.count("/") == 2}
    numbers = [int(name[len(stem) + 1 :]) for name in found if _is_numbered(name, stem)]
    return ([stem] if stem in found else []) + [f"{stem}_{number}" for number in sorted(numbers)]


def _composite_shape(raw: RawCheckpoint, layer: str) -> BlockShape:
    def shape(attribute: str, role: str = "kernel") -> tuple[int, ...] | None:
        tensor = raw.tensors.get(f"{layer}/{attribute}/{role}")
        return None if tensor is None else tensor.shape

    expand, project, squeeze = shape("conv1"), shape("output_conv"), shape("se_conv1")
    depthwise = shape("depthwise", "depthwise_kernel")
    if project is None:
        raise AmbiguousCheckpointError(f"{raw.path}: {layer!r} has no projection.")
    first = expand or depthwise or project
    return BlockShape(
        kind="fused" if depthwise is None else "mbconv",
        kernel=(depthwise or first)[0],
        in_channels=first[2],
        mid_channels=expand[3] if expand else first[2],
        out_channels=project[3],
        se_channels=squeeze[3] if squeeze else 0,
        has_expand=expand is not None,
    )


def _layers(raw: RawCheckpoint, stem: str) -> list[str]:
    """Return the layers "stem", "stem_1", "stem_2", ... in numeric order."""
    found = {name.rpartition("/")[0] for name in raw.tensors}
    numbers = [int(name[len(stem) + 1 :]) for name in found if _is_numbered(name, stem)]
    return ([stem] if stem in found else []) + [f"{stem}_{number}" for number in sorted(numbers)]


def _is_numbered(name: str, stem: str) -> bool:
    return name.startswith(f"{stem}_") and name[len(stem) + 1 :].isdigit()


def _renamed(name: str, layers: Mapping[str, str]) -> str:
    layer, _, role = name.rpartition("/")
    return f"{layers.get(layer, layer)}/{role}"


def _blocks(
    convs: Sequence[_Conv], depthwise_count: int, raw: RawCheckpoint
) -> Iterator[dict[str, _Conv]]:
    """Yield the convolutions of each block by part; only squeeze-and-excite has biases."""
    position = 0
    # Lite has no squeeze-and-excite, and one block without expansion, the first.
    is_lite = not any(conv.has_bias for conv in convs) and (len(convs) == 2 * depthwise_count - 1)

    def take(*parts: str) -> dict[str, _Conv]:
        nonlocal position
        chosen = convs[position : position + len(parts)]
        biased = [part.startswith("se_") for part in parts]
        if [conv.has_bias for conv in chosen] != biased:
            raise AmbiguousCheckpointError(
                f"{raw.path}: the layers are numbered, not named, and their order is not that of an "
                f"EfficientNet from {convs[position].layer!r} on. Save the model as .keras, which "
                "stores the layers' names."
            )
        position += len(parts)
        return dict(zip(parts, chosen, strict=True))

    def is_biased(offset: int) -> bool:
        return position + offset < len(convs) and convs[position + offset].has_bias

    while position < len(convs):
        first = convs[position]
        if is_lite:
            yield take(*(("expand_conv", "project_conv") if position else ("project_conv",)))
        elif first.has_bias:
            yield take("se_reduce", "se_expand", "project_conv")
        elif first.shape[0] == 1:
            yield take("expand_conv", "se_reduce", "se_expand", "project_conv")
        elif position + 1 < len(convs) and convs[position + 1].shape[0] == 1 and not is_biased(2):
            yield take("expand_conv", "project_conv")
        else:
            yield take("project_conv")


def _shapes(
    blocks: Sequence[dict[str, _Conv]], depthwise: Sequence[str], raw: RawCheckpoint
) -> list[BlockShape]:
    is_lite = len(depthwise) == len(blocks)
    kernels: Iterator[RawTensor] = (raw.tensors[f"{name}/depthwise_kernel"] for name in depthwise)
    shapes = []
    for parts in blocks:
        project, expand = parts["project_conv"].shape, parts.get("expand_conv")
        is_mbconv = "se_reduce" in parts or is_lite
        kernel = next(kernels, None) if is_mbconv else None
        if is_mbconv and kernel is None:
            raise AmbiguousCheckpointError(
                f"{raw.path}: {len(depthwise)} depthwise convolutions are too few for its blocks."
            )
        width = expand.shape[2] if expand else project[2]
        shapes.append(
            BlockShape(
                kind="mbconv" if is_mbconv else "fused",
                kernel=kernel.shape[0] if kernel else (expand.shape if expand else project)[0],
                in_channels=width,
                mid_channels=expand.shape[3] if expand else width,
                out_channels=project[3],
                se_channels=parts["se_reduce"].shape[3] if "se_reduce" in parts else 0,
                has_expand=expand is not None,
            )
        )
    return shapes
