"""Layers that a pretraining puts on the backbone and throws away: projector, predictor, decoder."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from efn_compose.train.engine.fresh import fresh_kernel, head_generator

#: Names of such layers begin with one of these and an underscore.
HEADS = ("projector", "predictor", "decoder", "critic", "generator")
#: A projector's hidden layers have four times the features, but no more than this.
_WIDEST = 2048


def hidden_width(features: int, wanted: int) -> int:
    """Return the width of a projector's hidden layers.

    Args:
        features: Channels of the last feature map.
        wanted: By the settings; 0 for none.

    Example:
        >>> hidden_width(1280, 0), hidden_width(320, 0), hidden_width(320, 64)
        (2048, 1280, 64)
    """
    return wanted or min(4 * features, _WIDEST)


def perceptron(x: Any, name: str, widths: Sequence[int], *, ends_in_norm: bool = False) -> Any:
    """Return linear layers on features, BatchNorm and ReLU between them.

    A layer before BatchNorm has no bias, which BatchNorm would take away. A BatchNorm at the end
    has no gamma and beta, with which it could undo what it does.

    Args:
        x: Features (image, feature), a Keras tensor.
        name: Of the whole: "projector" or "predictor".
        widths: Of all layers.
        ends_in_norm: Whether BatchNorm comes last.
    """
    last = len(widths)
    for number, width in enumerate(widths, start=1):
        is_last = number == last
        has_norm = not is_last or ends_in_norm
        x = layers.Dense(width, use_bias=not has_norm, name=f"{name}_{number}")(x)
        if has_norm:
            x = layers.BatchNormalization(
                epsilon=1e-5, center=not is_last, scale=not is_last, name=f"{name}_{number}_bn"
            )(x)
        if not is_last:
            x = layers.ReLU(name=f"{name}_{number}_relu")(x)
    return x


def is_head(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is thrown away after a pretraining."""
    return layer.name.startswith(tuple(f"{name}_" for name in HEADS))


def draw_heads(model: keras.Model, seed: int) -> None:
    """Give linear layers and BatchNorms on the backbone fresh weights.

    Args:
        model: From `Watched.build`.
        seed: Decides them.
    """
    generator = head_generator(seed)
    for layer in filter(is_head, model.layers):
        if isinstance(layer, keras.Model):
            draw_heads(layer, seed)
        elif isinstance(layer, layers.Conv2D):
            kernel = fresh_kernel((np.prod(layer.kernel.shape[:3]), layer.filters), generator)
            layer.kernel.assign(kernel.reshape(layer.kernel.shape))
            if layer.use_bias:
                layer.bias.assign(np.zeros(layer.bias.shape, np.float32))
        elif isinstance(layer, layers.BatchNormalization):
            for variable in layer.variables:
                is_one = variable.name in ("gamma", "moving_variance")
                variable.assign(np.full(variable.shape, float(is_one), np.float32))
        elif isinstance(layer, layers.Dense):
            layer.kernel.assign(fresh_kernel(layer.kernel.shape, generator))
            if layer.use_bias:
                layer.bias.assign(np.zeros(layer.bias.shape, np.float32))
