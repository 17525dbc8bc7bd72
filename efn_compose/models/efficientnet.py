"""ArchSpec to a functional Keras model: canonical layer names, preprocessing outside."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from efn_compose.arch import (
    GROUP_CHANNELS,
    IMAGE,
    ArchSpec,
    Conventions,
    Operation,
    TensorSpec,
    body,
    follow,
    inventory,
    walk,
)
from efn_compose.errors import InventoryMismatchError, describe_problems
from efn_compose.models.enlarge import Enlarge
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
    builder = LayerBuilder(
        conventions,
        bn_momentum,
        kinds or LayerKinds(),
        dropout=spec.dropout if dropout is None else dropout,
        drop_rates={
            block.name: drop_connect * number / len(spec.blocks)
            for number, block in enumerate(spec.blocks)
        },
    )
    image = keras.Input(input_shape or (None, None, 3), name=IMAGE)
    operations = walk(spec, classes) if include_top else body(spec)
    output = follow(operations, image, builder.perform)
    return keras.Model(image, output, name=spec.variant.replace("-", "_").replace(".", "p"))


class LayerBuilder:
    """What each operation of the walk is as a Keras layer; a method per kind of operation."""

    def __init__(
        self,
        conventions: Conventions,
        bn_momentum: Any,
        kinds: LayerKinds,
        *,
        dropout: float,
        drop_rates: Mapping[str, float],
    ) -> None:
        self.kinds = kinds
        self.symmetric = conventions.padding == "symmetric"
        self.epsilon = conventions.bn_epsilon
        self.functions = {
            "network": conventions.activation,
            "sigmoid": "sigmoid",
            "relu": "relu",
        }
        self.momentum = conventions.bn_momentum if bn_momentum is None else 0.9
        self.momentum_variable = bn_momentum
        self.dropout = dropout
        self.drop_rates = drop_rates

    def perform(self, operation: Operation, *inputs: Any) -> Any:
        return getattr(self, operation.kind)(operation, *inputs)

    def _padded(self, x: Any, operation: Operation) -> tuple[Any, str]:
        """Return the layer's input and its padding; stride 1 is the same in both conventions."""
        if operation.stride == 1 or not self.symmetric:
            return x, "same"
        side = operation.kernel // 2
        return layers.ZeroPadding2D(side, name=f"{operation.name}_pad")(x), "valid"

    def enlarge(self, operation: Operation, x: Any, like: Any) -> Any:
        return Enlarge(operation.stride, name=operation.name)([x, like])

    def output(self, operation: Operation, x: Any) -> Any:
        return layers.Conv2D(
            operation.out_channels, operation.kernel, padding="same", name=operation.name
        )(x)

    def conv(self, operation: Operation, x: Any) -> Any:
        if operation.has_bias:
            # The two convolutions of a squeeze-and-excite.
            return self.kinds.gate(
                operation.out_channels, 1, kernel_initializer=_KERNEL_INIT, name=operation.name
            )(x)
        x, padding = self._padded(x, operation)
        return self.kinds.conv(
            operation.out_channels,
            operation.kernel,
            strides=operation.stride,
            padding=padding,
            use_bias=False,
            kernel_initializer=_KERNEL_INIT,
            name=operation.name,
        )(x)

    def depthwise(self, operation: Operation, x: Any) -> Any:
        x, padding = self._padded(x, operation)
        return self.kinds.depthwise(
            operation.kernel,
            strides=operation.stride,
            padding=padding,
            use_bias=False,
            depthwise_initializer=_KERNEL_INIT,
            name=operation.name,
        )(x)

    def norm(self, operation: Operation, x: Any) -> Any:
        layer = self.kinds.norm(epsilon=self.epsilon, momentum=self.momentum, name=operation.name)
        if self.momentum_variable is not None:
            # Read at run time, so that one traced step serves training and re-estimation.
            layer.momentum = self.momentum_variable
        return layer(x)

    def group_norm(self, operation: Operation, x: Any) -> Any:
        groups = operation.out_channels // GROUP_CHANNELS
        return layers.GroupNormalization(groups, epsilon=self.epsilon, name=operation.name)(x)

    def activation(self, operation: Operation, x: Any) -> Any:
        function = self.functions[operation.function]
        return self.kinds.activation(function, name=operation.name)(x)

    def squeeze(self, operation: Operation, x: Any) -> Any:
        return layers.GlobalAveragePooling2D(keepdims=True, name=operation.name)(x)

    def excite(self, operation: Operation, x: Any, gate: Any) -> Any:
        return layers.Multiply(name=operation.name)([x, gate])

    def add(self, operation: Operation, x: Any, shortcut: Any) -> Any:
        rate = self.drop_rates.get(operation.block, 0.0)
        if rate:
            name = f"{operation.block}_drop_connect"
            x = layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x)
        return layers.Add(name=operation.name)([x, shortcut])

    def pool(self, operation: Operation, x: Any) -> Any:
        return layers.GlobalAveragePooling2D(name=operation.name)(x)

    def dense(self, operation: Operation, x: Any) -> Any:
        if self.dropout:
            x = layers.Dropout(self.dropout, name="dropout")(x)
        return layers.Dense(operation.out_channels, name=operation.name)(x)


def model_variables(
    model: keras.Model, spec: ArchSpec, classes: int | None, *, has_top: bool = True
) -> dict[str, keras.Variable]:
    """Return a built model's variables by canonical tensor name, in network order.

    Args:
        model: A model of `build_model`, or one that contains such layers.
        spec: Its network.
        classes: Width of its classifier, None to leave the classifier out.
        has_top: False for a U-Net, which ends before the top.

    Raises:
        InventoryMismatchError: The model lacks a layer, or a shape differs.
    """
    found, problems = {}, []
    by_layer = {layer.name: layer for layer in model.layers}
    for tensor in inventory(spec, classes):
        if not has_top and tensor.layer.startswith("top_"):
            continue
        layer = by_layer.get(tensor.layer)
        variable = layer_variable(layer, tensor) if layer else None
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


def layer_variable(layer: keras.layers.Layer, tensor: TensorSpec) -> keras.Variable | None:
    """Return the variable of a layer that holds a tensor, None where it has none of that role."""
    name = _KERAS_WEIGHT_NAMES.get(tensor.role, tensor.role)
    return next((variable for variable in layer.weights if variable.name == name), None)


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
