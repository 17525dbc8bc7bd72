"""Depthwise convolution whose filter gradient is fast on tiny maps.

TensorFlow's gradient with respect to a 5 × 5 depthwise filter takes many times as long
as its forward pass. On maps of one or two pixels, where small images spend their last
stages, nearly all of the filter meets padding, and a sum of products of shifted slices
gives the same numbers sooner.
"""

from typing import Any

import tensorflow as tf
from keras import layers

#: Pixels of a map, height times width, up to which slices are faster, by filter size: measured.
SMALL_MAPS = {3: 4, 5: 9}


class SmallMapDepthwise(layers.DepthwiseConv2D):
    """A `DepthwiseConv2D` that differs from it in the speed of its gradient alone.

    Only stride 1 with padding "same" takes the other path, and of that only small maps;
    which they are is seen when it runs.
    """

    def call(self, inputs: Any) -> Any:
        """Return the convolution of images (image, height, width, channel)."""
        is_plain = self.strides == (1, 1) and self.padding == "same"
        if not is_plain or self.depth_multiplier != 1 or self.kernel_size[0] not in SMALL_MAPS:
            return super().call(inputs)
        return _depthwise(inputs, tf.convert_to_tensor(self.kernel))


@tf.custom_gradient
def _depthwise(x: tf.Tensor, kernel: tf.Tensor) -> Any:
    ones = (1, 1, 1, 1)

    def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        dx = tf.nn.depthwise_conv2d_backprop_input(tf.shape(x), kernel, dy, ones, "SAME")
        is_small = tf.shape(x)[1] * tf.shape(x)[2] <= SMALL_MAPS[int(kernel.shape[0])]
        dk = tf.cond(
            is_small,
            lambda: filter_gradient(x, dy, int(kernel.shape[0])),
            lambda: tf.nn.depthwise_conv2d_backprop_filter(x, tf.shape(kernel), dy, ones, "SAME"),
        )
        return dx, dk

    return tf.nn.depthwise_conv2d(x, kernel, ones, "SAME"), gradient


def filter_gradient(x: tf.Tensor, dy: tf.Tensor, size: int) -> tf.Tensor:
    """Return the gradient of a stride-1 "same" depthwise convolution's filter.

    Args:
        x: Its input, (image, height, width, channel).
        dy: Gradient of its output, same shape.
        size: Height and width of the filter, odd.

    Returns:
        (size, size, channel, 1).
    """
    reach = size // 2
    height, width = tf.shape(x)[1], tf.shape(x)[2]
    padded = tf.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    taps = [
        tf.reduce_sum(padded[:, i : i + height, j : j + width] * dy, axis=(0, 1, 2))
        for i in range(size)
        for j in range(size)
    ]
    return tf.reshape(tf.stack(taps), (size, size, -1, 1))
