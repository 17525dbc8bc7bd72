"""Swish in one pass over memory forwards and one backwards, compiled; TensorFlow takes eight.

The passes are what an activation costs: experiments/step_speed.py.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import layers


class CompiledSwish(layers.Activation):
    """An `Activation` that computes swish of float32 maps by a compiled function.

    Differs from Keras' in rounding only. Compiling takes some hundredths of a second per shape of
    maps. Other functions, maps of one pixel, and maps whose size is not known when the network is
    traced are left as they are.
    """

    def call(self, inputs: Any) -> Any:
        """Return the activations of maps (image, height, width, channel)."""
        sides = tuple(inputs.shape[1:3])
        is_map = len(inputs.shape) == 4 and None not in sides and sides != (1, 1)
        is_swish = self.activation is keras.activations.silu
        if not (is_map and is_swish and inputs.dtype in ("float32", tf.float32)):
            return super().call(inputs)
        return _swish(inputs)


@tf.custom_gradient
def _swish(x: tf.Tensor) -> Any:
    # The gradient is made of the input alone: nothing else is kept until then.
    return _value(x), lambda dy: _gradient(x, dy)


@tf.function(jit_compile=True, autograph=False)
def _value(x: tf.Tensor) -> tf.Tensor:
    return x * tf.sigmoid(x)


@tf.function(jit_compile=True, autograph=False)
def _gradient(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    share = tf.sigmoid(x)
    return dy * share * (1 + x * (1 - share))
