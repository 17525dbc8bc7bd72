"""The convolutions of an ONNX graph, each with its BatchNorm, activation and padding.

Exporters rename and fold, so names mean nothing; the role of a convolution follows
from the nodes around it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from efn_compose.checkpoints.containers.onnx_file import OnnxNode
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.errors import ConversionError

#: Nodes that hand their first input on.
_TRANSPARENT = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout")
_POOLING = ("ReduceMean", "GlobalAveragePool")
_NAMED_ACTIVATIONS = {"Relu": "relu", "Silu": "swish", "Swish": "swish"}

PaddingKind = Literal["none", "tensorflow", "even", "dynamic", "other"]


@dataclass(frozen=True)
class ConvLayer:
    """One convolution in the order the graph runs it.

    Args:
        weight: Kernel, (out, in / groups, height, width).
        bias: Bias (out,), or None.
        norm: Constants of a BatchNorm behind it: scale, bias, mean, variance; empty
            where it is folded in or absent.
        epsilon: Of that BatchNorm.
        groups: Number of groups.
        stride: 1 or 2.
        padding: "none" at stride 1, "even" for k // 2 on all sides, "tensorflow" for
            the smaller half before, "dynamic" where a Pad node computes it.
        activation: "swish", "relu6", "relu", "sigmoid" or "" (none).
        is_pooled: Whether it reads averages, as squeeze-and-excite does.
        output: Name of the value behind BatchNorm and activation.
    """

    weight: RawTensor
    bias: RawTensor | None
    norm: tuple[RawTensor, ...]
    epsilon: float | None
    groups: int
    stride: int
    padding: PaddingKind
    activation: str
    is_pooled: bool
    output: str

    @property
    def kernel(self) -> int:
        """Side of the kernel, in pixels."""
        return self.weight.shape[2]

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has a filter of its own."""
        return self.groups > 1 and self.weight.shape[1] == 1

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        return self.weight.shape[1] * self.groups

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return self.weight.shape[0]


class OnnxGraph:
    """Looks up the neighbours of a value in a graph.

    Args:
        raw: A checkpoint of the container "onnx".

    Raises:
        ConversionError: From its methods, where a node is none that an EfficientNet has.
    """

    def __init__(self, raw: RawCheckpoint) -> None:
        self.path = raw.path
        self.nodes: tuple[OnnxNode, ...] = raw.metadata["nodes"]
        self.tensors: Mapping[str, RawTensor] = raw.tensors
        self.inputs: Mapping[str, tuple[int | None, ...]] = raw.metadata["inputs"]
        self._makers = {output: node for node in self.nodes for output in node.outputs}
        self._users: dict[str, list[OnnxNode]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self._users.setdefault(name, []).append(node)

    def constant(self, name: str) -> RawTensor | None:
        """Return the constant behind a name, through Identity nodes; None for a computed value."""
        while name not in self.tensors:
            maker = self._makers.get(name)
            if maker is None or maker.op != "Identity":
                return None
            name = maker.inputs[0]
        return self.tensors[name]

    def source(self, name: str, through: tuple[str, ...] = _TRANSPARENT) -> str:
        """Return the value that a name stands for, through nodes that hand it on."""
        maker = self._makers.get(name)
        while maker is not None and maker.op in through:
            name = maker.inputs[0]
            maker = self._makers.get(name)
        return name

    def is_pooled(self, name: str) -> bool:
        """Return whether a value is an average over height and width."""
        maker = self._makers.get(self.source(name))
        return maker is not None and maker.op in _POOLING

    def conv_layers(self) -> list[ConvLayer]:
        """Return all convolutions in the order they run."""
        return [self._layer(node) for node in self.nodes if node.op == "Conv"]

    def stem_input(self) -> str:
        """Return the graph input that the first convolution reads.

        Raises:
            ConversionError: Something else computes on the way, such as input scaling.
        """
        first = next(node for node in self.nodes if node.op == "Conv")
        name = self.source(first.inputs[0], (*_TRANSPARENT, "Pad", "Transpose"))
        if name not in self.inputs:
            maker = self._makers.get(name)
            raise ConversionError(
                f"{self.path}: a {maker.op if maker else 'missing'} node stands before the first "
                "convolution. Export the network without its input scaling; give that with --arch."
            )
        return name

    def image_size(self) -> tuple[int, int] | None:
        """Return the height and width that the graph was made for, or None if they are free."""
        shape = self.inputs[self.stem_input()]
        if len(shape) != 4:
            return None
        spatial = shape[1:3] if shape[3] == 3 and shape[1] != 3 else shape[2:4]
        height, width = spatial
        return None if height is None or width is None else (height, width)

    def dense(self) -> tuple[RawTensor, RawTensor | None, bool] | None:
        """Return kernel, bias and whether the kernel is (out, in), of the classifier; None without.

        Raises:
            ConversionError: There are several, or it does not read averages.
        """
        found: list[tuple[OnnxNode, RawTensor]] = []
        for node in self.nodes:
            kernel = self.constant(node.inputs[1]) if node.op in ("Gemm", "MatMul") else None
            if kernel is None:
                continue
            if not self.is_pooled(node.inputs[0]):
                raise ConversionError(
                    f"{self.path}: a {node.op} node reads something else than averages; only a "
                    "classifier right behind average pooling is known."
                )
            found.append((node, kernel))
        if len(found) > 1:
            raise ConversionError(f"{self.path}: {len(found)} dense layers; one is known.")
        if not found:
            return None
        node, kernel = found[0]
        attributes = node.attributes
        if attributes.get("transA", 0) or any(
            attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta")
        ):
            raise ConversionError(f"{self.path}: a Gemm node with alpha, beta or transA.")
        bias = self.constant(node.inputs[2]) if len(node.inputs) > 2 else None
        for user in self._users.get(node.outputs[0], []) if node.op == "MatMul" else ():
            if user.op == "Add":
                constants = [self.constant(name) for name in user.inputs]
                bias = next((tensor for tensor in constants if tensor is not None), None)
        return kernel, bias, bool(attributes.get("transB", 0))

    def residual_count(self, layers: list[ConvLayer]) -> int:
        """Return how many additions join the output of a layer with another computed value."""
        outputs = {layer.output for layer in layers}
        return sum(
            node.op == "Add"
            and any(self.source(name, ("Identity", "Cast")) in outputs for name in node.inputs)
            and all(self.constant(name) is None for name in node.inputs)
            for node in self.nodes
        )

    def _layer(self, node: OnnxNode) -> ConvLayer:
        weight = self.constant(node.inputs[1])
        if weight is None or len(weight.shape) != 4 or weight.shape[2] != weight.shape[3]:
            raise ConversionError(
                f"{self.path}: convolution {node.outputs[0]!r} has no constant square kernel."
            )
        strides = node.attributes.get("strides") or [1, 1]
        dilations = node.attributes.get("dilations") or [1, 1]
        if len(set(strides)) != 1 or set(dilations) != {1}:
            raise ConversionError(
                f"{self.path}: convolution {node.outputs[0]!r} has strides {strides} and dilations "
                f"{dilations}; equal strides and no dilation are known."
            )
        output = node.outputs[0]
        norm: tuple[RawTensor, ...] = ()
        epsilon = None
        users = self._users.get(output, [])
        if len(users) == 1 and users[0].op == "BatchNormalization":
            constants = [self.constant(name) for name in users[0].inputs[1:5]]
            norm = tuple(tensor for tensor in constants if tensor is not None)
            epsilon = float(np.float32(users[0].attributes.get("epsilon", 1e-5)))
            output = users[0].outputs[0]
            if len(norm) < len(constants):
                raise ConversionError(f"{self.path}: a BatchNorm without constant statistics.")
        activation, output = self._activation(output)
        return ConvLayer(
            weight=weight,
            bias=self.constant(node.inputs[2]) if len(node.inputs) > 2 else None,
            norm=norm,
            epsilon=None if epsilon is None else round(epsilon, 9),
            groups=int(node.attributes.get("group", 1)),
            stride=int(strides[0]),
            padding=self._padding(node, weight.shape[2], int(strides[0])),
            activation=activation,
            is_pooled=self.is_pooled(node.inputs[0]),
            output=output,
        )

    def _activation(self, name: str) -> tuple[str, str]:
        """Return the activation on a value, and the value behind it."""
        users = self._users.get(name, [])
        ops = {user.op for user in users}
        if ops == {"Sigmoid", "Mul"} and len(users) == 2:
            sigmoid = next(user for user in users if user.op == "Sigmoid")
            product = next(user for user in users if user.op == "Mul")
            if set(product.inputs) == {name, sigmoid.outputs[0]}:
                return "swish", product.outputs[0]
        if len(users) == 1:
            user = users[0]
            if user.op in _NAMED_ACTIVATIONS:
                return _NAMED_ACTIVATIONS[user.op], user.outputs[0]
            if user.op == "Sigmoid":
                return "sigmoid", user.outputs[0]
            if user.op == "Clip" and self._limits(user) == (0.0, 6.0):
                return "relu6", user.outputs[0]
            if user.op in ("HardSwish", "HardSigmoid", "Elu", "LeakyRelu", "PRelu", "Tanh", "Gelu"):
                raise ConversionError(
                    f"{self.path}: activation {user.op}, which no EfficientNet has."
                )
        return "", name

    def _limits(self, node: OnnxNode) -> tuple[float, float] | None:
        """Return the limits of a Clip node: inputs, in old graphs attributes."""
        if "min" in node.attributes and "max" in node.attributes:
            return float(node.attributes["min"]), float(node.attributes["max"])
        limits = [self.constant(name) for name in node.inputs[1:3]]
        values = [float(limit.load().reshape(-1)[0]) for limit in limits if limit is not None]
        return (values[0], values[1]) if len(values) == 2 else None

    def _padding(self, node: OnnxNode, kernel: int, stride: int) -> PaddingKind:
        automatic = node.attributes.get("auto_pad", "NOTSET")
        if automatic == "SAME_UPPER":
            return "none" if stride == 1 else "tensorflow"
        pads = list(node.attributes.get("pads") or [0, 0, 0, 0])
        if automatic not in ("NOTSET", "VALID", ""):
            return "other"
        maker = self._makers.get(node.inputs[0])
        if maker is not None and maker.op == "Pad":
            before = self.constant(maker.inputs[1]) if len(maker.inputs) > 1 else None
            values = maker.attributes.get("pads")
            if values is None:
                if before is None:
                    return "dynamic"
                values = [int(value) for value in before.load().reshape(-1)]
            half = len(values) // 2
            pads = [a + b for a, b in zip(pads, values[half - 2 : half] + values[-2:], strict=True)]
        if pads == [kernel // 2] * 4:
            return "none" if stride == 1 else "even"
        smaller = (kernel - 2) // 2
        per_axis = {(pads[0], pads[2]), (pads[1], pads[3])}
        if stride == 2 and per_axis <= {(smaller, kernel - 2 - smaller), (kernel // 2,) * 2}:
            return "tensorflow"
        return "other"
