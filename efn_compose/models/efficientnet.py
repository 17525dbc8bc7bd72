"""ArchSpec to a functional Keras model: canonical layer names, preprocessing outside."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from efn_compose.arch import HEAD_LAYER, ArchSpec, BlockSpec, Conventions, inventory
from efn_compose.errors import InventoryMismatchError, describe_problems
from efn_compose.models.fast_layers import LayerKinds

InputShape = tuple[int | None, int | None, int]

#: Weight name in a Keras layer by canonical role, where they differ.
_KERAS_WEIGHT_NAMES = {"depthwise_kernel": "kernel"}

_KERNEL_INIT = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}


def build_model(
    spec: ArchSpec,
    conventions: Conventions,
    *,
    input_shape: InputShape | None = None,
    include_top: bool = True,
    classes: int = 1000,
    dropout: float | None = None,
    drop_connect: float = 0.0,
    bn_momentum: Any = None,
    kinds: LayerKinds | None = None,
) -> keras.Model:
    """Build the network of an ArchSpec with fresh weights.

    Args:
        spec: The network.
        conventions: Padding, BatchNorm epsilon and momentum, activation.
        input_shape: (height, width, 3); default any size.
        include_top: Whether to pool, drop out and classify; False ends at the
            last feature map, (image, height, width, channel).
        classes: Width of the classifier.
        dropout: Rate before the classifier, 0-1; default the variant's own.
        drop_connect: Rate of stochastic depth at the last block, 0-1, rising
            linearly from 0 at the first.
        bn_momentum: Overrides the conventions' momentum; may be a `tf.Variable`.
        kinds: Classes of its layers; Keras' own by default, or some that compute the same.

    Returns:
        A functional model from preprocessed float input to logits.

    Example:
        >>> from efn_compose.arch import arch_spec, default_conventions
        >>> spec = arch_spec("b-w0.1-d0.3")
        >>> model = build_model(spec, default_conventions(spec), classes=10)  # doctest: +SKIP
    """
    builder = _Builder(conventions, bn_momentum, kinds or LayerKinds())
    image = keras.Input(input_shape or (None, None, 3), name="image")
    x = builder.conv(image, "stem_conv", spec.stem_channels, kernel=3, stride=spec.stem_stride)
    x = builder.norm_act(x, "stem_bn")
    for number, block in enumerate(spec.blocks):
        x = builder.block(x, block, drop_connect * number / len(spec.blocks))
    if spec.top_channels:
        x = builder.conv(x, "top_conv", spec.top_channels)
        x = builder.norm_act(x, "top_bn")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        rate = spec.dropout if dropout is None else dropout
        if rate:
            x = layers.Dropout(rate, name="dropout")(x)
        x = layers.Dense(classes, name=HEAD_LAYER)(x)
    return keras.Model(image, x, name=spec.variant.replace("-", "_").replace(".", "p"))


class _Builder:
    """Layers under one set of conventions."""

    def __init__(
        self,
        conventions: Conventions,
        bn_momentum: Any,
        kinds: LayerKinds,
    ) -> None:
        self.kinds = kinds
        self.symmetric = conventions.padding == "symmetric"
        self.epsilon = conventions.bn_epsilon
        self.activation = conventions.activation
        self.momentum = conventions.bn_momentum if bn_momentum is None else 0.9
        self.momentum_variable = bn_momentum

    def _padded(self, x: Any, name: str, kernel: int, stride: int) -> tuple[Any, str]:
        """Return the layer's input and its padding; stride 1 is the same in both conventions."""
        if stride == 1 or not self.symmetric:
            return x, "same"
        return layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"

    def conv(self, x: Any, name: str, channels: int, kernel: int = 1, stride: int = 1) -> Any:
        x, padding = self._padded(x, name, kernel, stride)
        return layers.Conv2D(
            channels,
            kernel,
            strides=stride,
            padding=padding,
            use_bias=False,
            kernel_initializer=_KERNEL_INIT,
            name=name,
        )(x)

    def depthwise(self, x: Any, name: str, kernel: int, stride: int) -> Any:
        x, padding = self._padded(x, name, kernel, stride)
        return self.kinds.depthwise(
            kernel,
            strides=stride,
            padding=padding,
            use_bias=False,
            depthwise_initializer=_KERNEL_INIT,
            name=name,
        )(x)

    def norm(self, x: Any, name: str) -> Any:
        layer = self.kinds.norm(epsilon=self.epsilon, momentum=self.momentum, name=name)
        if self.momentum_variable is not None:
            # Read at run time, so that one traced step serves training and re-estimation.
            layer.momentum = self.momentum_variable
        return layer(x)

    def act(self, x: Any, name: str) -> Any:
        return layers.Activation(self.activation, name=name)(x)

    def norm_act(self, x: Any, name: str) -> Any:
        return self.act(self.norm(x, name), name.replace("_bn", "_activation"))

    def squeeze_excite(self, x: Any, block: BlockSpec) -> Any:
        gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{block.name}_se_squeeze")(x)
        gate = self.kinds.gate(
            block.se_channels, 1, kernel_initializer=_KERNEL_INIT, name=f"{block.name}_se_reduce"
        )(gate)
        gate = self.act(gate, f"{block.name}_se_activation")
        gate = self.kinds.gate(
            block.mid_channels, 1, kernel_initializer=_KERNEL_INIT, name=f"{block.name}_se_expand"
        )(gate)
        gate = layers.Activation("sigmoid", name=f"{block.name}_se_gate")(gate)
        return layers.Multiply(name=f"{block.name}_se_excite")([x, gate])

    def block(self, inputs: Any, block: BlockSpec, drop_rate: float) -> Any:
        name, x = block.name, inputs
        if block.is_single_conv:
            x = self.conv(x, f"{name}_project_conv", block.out_channels, block.kernel, block.stride)
            x = self.norm_act(x, f"{name}_project_bn")
            return self._add_skip(x, inputs, block, drop_rate)
        if block.has_expand:
            fused = block.kind == "fused"
            kernel, stride = (block.kernel, block.stride) if fused else (1, 1)
            x = self.conv(x, f"{name}_expand_conv", block.mid_channels, kernel, stride)
            x = self.norm_act(x, f"{name}_expand_bn")
        if block.kind == "mbconv":
            x = self.depthwise(x, f"{name}_depthwise_conv", block.kernel, block.stride)
            x = self.norm_act(x, f"{name}_depthwise_bn")
        if block.se_channels:
            x = self.squeeze_excite(x, block)
        x = self.conv(x, f"{name}_project_conv", block.out_channels)
        x = self.norm(x, f"{name}_project_bn")
        return self._add_skip(x, inputs, block, drop_rate)

    def _add_skip(self, x: Any, inputs: Any, block: BlockSpec, drop_rate: float) -> Any:
        if not block.has_skip:
            return x
        if drop_rate:
            x = layers.Dropout(
                drop_rate, noise_shape=(None, 1, 1, 1), name=f"{block.name}_drop_connect"
            )(x)
        return layers.Add(name=f"{block.name}_add")([x, inputs])


def model_variables(
    model: keras.Model, spec: ArchSpec, classes: int | None
) -> dict[str, keras.Variable]:
    """Return a built model's variables by canonical tensor name, in network order.

    Args:
        model: A model of `build_model`, or one that contains such layers.
        spec: Its network.
        classes: Width of its classifier, None to leave the classifier out.

    Raises:
        InventoryMismatchError: The model lacks a layer, or a shape differs.
    """
    found, problems = {}, []
    by_layer = {layer.name: layer for layer in model.layers}
    for tensor in inventory(spec, classes):
        layer = by_layer.get(tensor.layer)
        weight_name = _KERAS_WEIGHT_NAMES.get(tensor.role, tensor.role)
        variable = (
            next((v for v in layer.weights if v.name == weight_name), None) if layer else None
        )
        if variable is None:
            problems.append(f"- missing in model: {tensor.name}")
        elif tuple(variable.shape) != tensor.shape:
            problems.append(
                f"≠ shape: {tensor.name} model {tuple(variable.shape)} expected {tensor.shape}"
            )
        else:
            found[tensor.name] = variable
    if problems:
        raise InventoryMismatchError(
            describe_problems(
                f"Model {model.name!r} is not the network {spec.variant!r}.", problems
            )
        )
    return found


def assign_weights(
    model: keras.Model, spec: ArchSpec, tensors: Mapping[str, np.ndarray], classes: int | None
) -> None:
    """Assign arrays to a model's variables by canonical name; all of them or none.

    Args:
        model: A model of `build_model`.
        spec: Its network.
        tensors: Arrays by canonical name.
        classes: Width of the classifier the arrays hold, None for none.

    Raises:
        InventoryMismatchError: A name or shape does not fit; nothing was assigned.
    """
    variables = model_variables(model, spec, classes)
    problems = [f"- missing: {name}" for name in variables if name not in tensors]
    problems += [
        f"≠ shape: {name} received {tensors[name].shape} expected {tuple(variable.shape)}"
        for name, variable in variables.items()
        if name in tensors and tensors[name].shape != tuple(variable.shape)
    ]
    if problems:
        raise InventoryMismatchError(
            describe_problems(f"Cannot assign weights to {model.name!r}.", problems)
        )
    for name, variable in variables.items():
        variable.assign(tensors[name])
