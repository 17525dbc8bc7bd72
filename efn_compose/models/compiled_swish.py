"""Swish on large maps in one pass forwards and one backwards, compiled; TensorFlow takes eight.

On maps of this size the passes over memory are what an activation costs: experiments/step_speed.py.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

#: Pixels of a map, height times width, up to which it is left to TensorFlow: the maps of images up to
#: 64 px, whose searches have the bits they always had.
SMALL_MAP = 32 * 32


class CompiledSwish(layers.Activation):
    """An `Activation` that computes swish of large float32 maps by a compiled function.

    Differs from Keras' in rounding only. Other functions, and maps whose size is not known when the
    network is traced, are left as they are.
    """

    def call(self, inputs: Any) -> Any:
        """Return the activations of maps (image, height, width, channel)."""
        sides = tuple(inputs.shape[1:3])
        is_map = len(inputs.shape) == 4 and None not in sides
        if self.activation is not keras.activations.silu or not is_map:
            return super().call(inputs)
        if sides[0] * sides[1] <= SMALL_MAP or inputs.dtype not in ("float32", tf.float32):
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
