"""ONNX models: mapped by the shape of the graph, BatchNorm rebuilt where it was folded away.

Exporters fold BatchNorm into the convolutions and rename the folded tensors. The
function survives and is kept exactly: each folded BatchNorm comes back with mean
0, variance 1, gamma sqrt(1 + epsilon) and the bias as beta. Its statistics are
lost, so training such a donor is not the same as training the original.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from converters.timm_names import timm_model, timm_preprocessing
from efn_compose.arch import (
    BN_ROLES,
    FAMILIES,
    HEAD_LAYER,
    PREPROCESSINGS,
    ArchSpec,
    Conventions,
    inventory,
)
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.dialect import Dialect, Prepared, Request, Resolved, Row
from efn_compose.checkpoints.dialects.onnx_graph import ConvLayer, OnnxGraph
from efn_compose.checkpoints.dialects.spec_reading import (
    BlockShape,
    requested_spec,
    spec_from_stages,
    split_stages,
)
from efn_compose.errors import AmbiguousCheckpointError, ConversionError, describe_problems

#: Epsilon given to a BatchNorm that was folded away.
REBUILT_EPSILON = 1e-3
#: Constants of shape and padding arithmetic have a few elements.
_LARGEST_CONSTANT = 16
_CONSTANT = "constant of the graph, no weight"

#: Convolutions of a block by part: expand_conv, depthwise_conv, se_reduce, se_expand, project_conv.
Block = Mapping[str, ConvLayer]


def _recognise(raw: RawCheckpoint) -> bool:
    return sum(node.op == "Conv" for node in raw.metadata.get("nodes", ())) > 8


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    graph = OnnxGraph(raw)
    layers = graph.conv_layers()
    stem, blocks, top = _split(layers, raw)
    shapes = [_shape(block) for block in blocks]
    stages = split_stages(shapes, request, str(raw.path))
    names = [
        f"stage{stage}_block{repeat}"
        for stage, members in enumerate(stages, start=1)
        for repeat in range(1, len(members) + 1)
    ]
    epsilon = _common_epsilon(layers, raw)
    tensors: dict[str, RawTensor] = {}
    for layer, prefix in ((stem, "stem"), (top, "top")):
        tensors |= _conv_tensors(layer, f"{prefix}_conv", f"{prefix}_bn", epsilon)
    for name, block in zip(names, blocks, strict=True):
        for part, layer in block.items():
            norm = None if part.startswith("se_") else f"{name}_{part.replace('_conv', '_bn')}"
            tensors |= _conv_tensors(layer, f"{name}_{part}", norm, epsilon)
    dense = graph.dense()
    if dense is not None:
        kernel, bias, is_transposed = dense
        classes = kernel.shape[0 if is_transposed else 1]
        tensors[f"{HEAD_LAYER}/kernel"] = kernel
        tensors[f"{HEAD_LAYER}/bias"] = bias or _array("bias", np.zeros(classes, np.float32))
    folded = [layer for layer in layers if not layer.norm and not layer.is_pooled]
    folded = [layer for layer in folded if layer.activation != "sigmoid"]
    metadata = {
        **raw.metadata,
        "stages": stages,
        "stem_channels": stem.out_channels,
        "top_channels": top.out_channels,
        "strides": [layer.stride for layer in layers if not layer.is_pooled],
        "block_strides": [max(layer.stride for layer in block.values()) for block in blocks],
        "residuals": graph.residual_count(layers),
        "padding": _padding(layers, graph, raw),
        "activation": _activation(layers, raw),
        "bn_epsilon": epsilon,
        "is_head_transposed": dense is not None and dense[2],
    }
    used = {id(tensor) for tensor in tensors.values()}
    used |= {id(t) for layer in layers for t in (layer.weight, layer.bias, *layer.norm) if t}
    unused = {name: tensor for name, tensor in raw.tensors.items() if id(tensor) not in used}
    _refuse_unused_weights(unused, raw)
    ignored = tuple((name, _CONSTANT) for name in unused)
    lines: tuple[str, ...] = ()
    if folded:
        lines = (
            f"{len(folded)} convolutions have their BatchNorm folded in: rebuilt with mean 0, "
            f"variance 1, gamma sqrt(1 + {epsilon:g}), the bias as beta; statistics are lost",
        )
    return Prepared(dataclasses.replace(raw, tensors=tensors, metadata=metadata), lines, ignored)


def _refuse_unused_weights(unused: Mapping[str, RawTensor], raw: RawCheckpoint) -> None:
    """Raise if tensors as large as weights belong to no known layer."""
    large = [
        f"+ {name} {tensor.shape}"
        for name, tensor in unused.items()
        if "float" in tensor.dtype and int(np.prod(tensor.shape)) > _LARGEST_CONSTANT
    ]
    if large:
        raise ConversionError(
            describe_problems(
                f"{raw.path}: {len(large)} tensors belong to no layer of an EfficientNet.", large
            )
        )


def _split(
    layers: Sequence[ConvLayer], raw: RawCheckpoint
) -> tuple[ConvLayer, list[Block], ConvLayer]:
    """Return stem, blocks and top of a sequence of convolutions."""
    stem, *inner, top = layers
    if stem.in_channels != 3 or stem.stride != 2 or top.kernel != 1 or not top.activation:
        raise ConversionError(
            f"{raw.path}: its first convolution is no stem or its last no top of an EfficientNet "
            f"({stem.in_channels} input channels, stride {stem.stride}; last kernel {top.kernel})."
        )
    blocks: list[Block] = []
    position = 0
    while position < len(inner):
        parts = _parts(inner[position : position + 5])
        if not parts:
            raise ConversionError(
                f"{raw.path}: the convolutions from number {position + 2} on "
                f"({inner[position].weight.name!r}) are no block of an EfficientNet."
            )
        chosen = inner[position : position + len(parts)]
        blocks.append(dict(zip(parts, chosen, strict=True)))
        position += len(parts)
    return stem, blocks, top


def _parts(layers: Sequence[ConvLayer]) -> tuple[str, ...]:
    """Return the parts that the first block of a sequence consists of; empty where it is none."""
    kinds = [_kind(layer) for layer in layers]
    for parts, pattern in (
        (("expand_conv", "depthwise_conv", "se_reduce", "se_expand", "project_conv"), "edrgp"),
        (("depthwise_conv", "se_reduce", "se_expand", "project_conv"), "drgp"),
        (("expand_conv", "depthwise_conv", "project_conv"), "edp"),
        (("depthwise_conv", "project_conv"), "dp"),
        (("expand_conv", "project_conv"), "ep"),
        (("project_conv",), "e"),
    ):
        if "".join(kinds[: len(parts)]) == pattern:
            return parts
    return ()


def _kind(layer: ConvLayer) -> str:
    """Return a letter: depthwise, squeeze (r), gate (g), activated (e) or linear (p)."""
    if layer.is_depthwise:
        return "d"
    if layer.is_pooled:
        return "r"
    if layer.activation == "sigmoid":
        return "g"
    return "e" if layer.activation else "p"


def _shape(block: Block) -> BlockShape:
    expand, depthwise = block.get("expand_conv"), block.get("depthwise_conv")
    first = expand or depthwise or block["project_conv"]
    squeeze = block.get("se_reduce")
    return BlockShape(
        kind="mbconv" if depthwise else "fused",
        kernel=(depthwise or first).kernel,
        in_channels=first.in_channels,
        mid_channels=expand.out_channels if expand else first.in_channels,
        out_channels=block["project_conv"].out_channels,
        se_channels=squeeze.out_channels if squeeze else 0,
        has_expand=expand is not None,
    )


def _conv_tensors(
    layer: ConvLayer, name: str, norm: str | None, epsilon: float
) -> dict[str, RawTensor]:
    """Return a convolution's tensors by canonical name, its BatchNorm rebuilt where folded."""
    role = "depthwise_kernel" if layer.is_depthwise else "kernel"
    tensors = {f"{name}/{role}": layer.weight}
    width = layer.out_channels
    zeros = _array("zeros", np.zeros(width, np.float32))
    if norm is None:
        return {**tensors, f"{name}/bias": layer.bias or zeros}
    if layer.norm:
        roles = dict(zip(BN_ROLES, layer.norm, strict=True))
        if layer.bias is not None:
            mean, bias = roles["moving_mean"], layer.bias
            shifted = RawTensor(
                mean.name,
                mean.shape,
                mean.dtype,
                lambda: (mean.load() - bias.load()).astype(np.float32),
            )
            roles["moving_mean"] = shifted
    else:
        gamma = np.full(width, np.sqrt(1 + epsilon), np.float32)
        ones = _array("ones", np.ones(width, np.float32))
        roles = {
            "gamma": _array("gamma", gamma),
            "beta": layer.bias or zeros,
            "moving_mean": zeros,
            "moving_variance": ones,
        }
    return tensors | {f"{norm}/{role}": roles[role] for role in BN_ROLES}


def _array(name: str, values: np.ndarray) -> RawTensor:
    return RawTensor(name, values.shape, str(values.dtype), lambda: values)


def _common_epsilon(layers: Sequence[ConvLayer], raw: RawCheckpoint) -> float:
    found = {layer.epsilon for layer in layers if layer.epsilon is not None}
    if len(found) > 1:
        raise ConversionError(f"{raw.path}: BatchNorms with several epsilons {sorted(found)}.")
    return found.pop() if found else REBUILT_EPSILON


def _activation(layers: Sequence[ConvLayer], raw: RawCheckpoint) -> str:
    found = {layer.activation for layer in layers} - {"", "sigmoid"}
    if len(found) != 1:
        raise ConversionError(
            f"{raw.path}: activations {sorted(found)}; the same one in all blocks is known."
        )
    return found.pop()


def _padding(layers: Sequence[ConvLayer], graph: OnnxGraph, raw: RawCheckpoint) -> str:
    """Return the padding convention that the stride-2 convolutions show."""
    strided = [layer for layer in layers if layer.stride == 2]
    kinds = {layer.padding for layer in strided}
    wrong = {layer.padding for layer in layers if layer.stride == 1 and layer.padding != "none"}
    pointwise = all(layer.kernel == 1 for layer in layers if layer.padding == "other")
    if (wrong - {"other"}) or "other" in kinds or (wrong and not pointwise):
        raise ConversionError(
            f"{raw.path}: paddings that no EfficientNet has ({sorted(kinds | wrong)})."
        )
    size = graph.image_size()
    if kinds == {"even"}:
        if size is not None and all(side % 2 for side in _stage_sides(size, len(strided))):
            raise AmbiguousCheckpointError(
                f"{raw.path}: exported at {size[0]} x {size[1]}, where every stride-2 layer sees an "
                "odd size and both paddings are the same. Export it at an even size, e.g. 224."
            )
        return "symmetric"
    if size is not None and "even" in kinds:
        for layer, sides in zip(strided, _sides_by_stage(size, len(strided)), strict=True):
            if layer.padding == "even" and not all(side % 2 for side in sides):
                raise ConversionError(f"{raw.path}: paddings of both conventions are mixed.")
    return "same"


def _sides_by_stage(size: tuple[int, int], count: int) -> Iterator[tuple[int, int]]:
    """Yield the height and width that each stride-2 layer sees."""
    height, width = size
    for _ in range(count):
        yield height, width
        height, width = -(-height // 2), -(-width // 2)


def _stage_sides(size: tuple[int, int], count: int) -> list[int]:
    return [side for sides in _sides_by_stage(size, count) for side in sides]


def _spec(raw: RawCheckpoint, request: Request) -> ArchSpec:
    spec = spec_from_stages(
        raw.metadata["stem_channels"],
        raw.metadata["stages"],
        raw.metadata["top_channels"],
        where=str(raw.path),
    )
    problems = []
    strides = [block.stride for block in spec.blocks]
    if strides != raw.metadata["block_strides"]:
        problems.append(f"≠ strides: graph {raw.metadata['block_strides']}, network {strides}")
    skips = sum(block.has_skip for block in spec.blocks)
    if skips != raw.metadata["residuals"]:
        problems.append(f"≠ skips: graph {raw.metadata['residuals']}, network {skips}")
    if problems:
        raise ConversionError(
            describe_problems(f"{raw.path}: the graph is not that of {spec.variant!r}.", problems)
        )
    return spec


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    is_transposed = raw is None or raw.metadata.get("is_head_transposed", True)
    for tensor in inventory(spec, classes):
        layout = "identity"
        if tensor.role == "depthwise_kernel":
            layout = "torch_depthwise"
        elif tensor.layer == HEAD_LAYER and tensor.role == "kernel":
            layout = "torch_dense" if is_transposed else "identity"
        elif tensor.role == "kernel":
            layout = "torch_conv"
        yield Row(tensor.name, tensor.name, layout)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    name, source = _scaling(raw, spec, request)
    symmetric = raw.metadata["padding"] == "symmetric"
    family = FAMILIES.get(spec.family)
    conventions = Conventions(
        padding=raw.metadata["padding"],
        bn_epsilon=raw.metadata["bn_epsilon"],
        activation=raw.metadata["activation"],
        preprocessing=PREPROCESSINGS[name],
        bn_momentum=0.9 if symmetric or family is None else family.bn_momentum,
    )
    sources: dict[str, Any] = dict.fromkeys(("padding", "activation"), "nodes of the graph")
    is_dynamic = any(node.op == "Pad" for node in raw.metadata["nodes"])
    if is_dynamic and not symmetric:
        sources["padding"] = "Pad nodes that compute TensorFlow's padding from the size"
    sources["bn_epsilon"] = "BatchNorm nodes, or chosen where folded"
    return Resolved(conventions, {**sources, "preprocessing": source})


def _scaling(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> tuple[str, str]:
    """Return the name of the input scaling and who said so: only `--arch` can."""
    model, _, tag = (request.arch or "").partition(".")
    if tag and timm_model(model) is not None:
        return timm_preprocessing(model, tag), f"--arch {request.arch}"
    if requested_spec(request) is not None and spec.family in FAMILIES:
        name = FAMILIES[spec.family].preprocessing
        return name, f"--arch {request.arch}: usual scaling {name!r} of its family"
    raise AmbiguousCheckpointError(
        f"{raw.path}: an ONNX graph does not say how pixels are scaled. Name the network to accept "
        f"its usual scaling, --arch {spec.variant}, or the model it was exported from, e.g. --arch "
        "tf_efficientnet_b0.ns_jft_in1k."
    )


DIALECT = Dialect(
    name="onnx",
    title="ONNX",
    licence="unknown",
    containers=frozenset({"onnx"}),
    recognise=_recognise,
    prepare=_prepare,
    spec_from=_spec,
    rows=_rows,
    resolve=_resolve,
)
