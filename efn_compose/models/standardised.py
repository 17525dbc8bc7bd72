"""A convolution that standardises its kernel at each call, for networks that are trained."""

from typing import Any

import tensorflow as tf
from keras import layers

from efn_compose.numerics.standardised import EPSILON


class StandardisedConv2D(layers.Conv2D):
    """A `Conv2D` whose filters have mean 0 and length 1, whatever values the kernel holds.

    See `numerics.standardised`. Once trained, a plain `Conv2D` with the standardised kernel computes the
    same.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Return the convolution with the standardised kernel."""
        values = tf.cast(tf.convert_to_tensor(kernel), tf.float32)
        mean, variance = tf.nn.moments(values, (0, 1, 2))
        length = tf.sqrt((variance + EPSILON) * tf.cast(tf.size(values[..., 0]), tf.float32))
        return super().convolution_op(inputs, tf.cast((values - mean) / length, inputs.dtype))
