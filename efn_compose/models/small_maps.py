"""Depthwise convolution whose filter gradient is fast on small maps.

TensorFlow's gradient with respect to a 5 × 5 depthwise filter takes many times as long
as its forward pass. On maps of a few pixels, where small images spend their last stages,
most of the filter meets padding, and a sum of products of slices gives the same numbers
sooner: each tap of the filter multiplies only the pixels that it meets.
"""

from typing import Any

import tensorflow as tf
from keras import layers

#: Pixels of the output, height times width, up to which slices are faster, by filter size and
#: stride: measured (experiments/results/engine.md).
SMALL_MAPS = {(3, 1): 4, (5, 1): 16, (3, 2): 1, (5, 2): 1}


class SmallMapDepthwise(layers.DepthwiseConv2D):
    """A `DepthwiseConv2D` that differs from it in the speed of its filter's gradient alone.

    Only small maps whose size is known when the network is traced take the other path.
    """

    def call(self, inputs: Any) -> Any:
        """Return the convolution of images (image, height, width, channel)."""
        if self.depth_multiplier != 1 or self.use_bias or self.dilation_rate != (1, 1):
            return super().call(inputs)
        out = self.compute_output_shape(inputs.shape)
        most = SMALL_MAPS.get((self.kernel_size[0], self.strides[0]), 0)
        if None in out[1:3] or out[1] * out[2] > most:
            return super().call(inputs)
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), inputs.dtype)
        return _depthwise(inputs, kernel, self.strides[0], self.padding.upper())


def _depthwise(x: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str) -> tf.Tensor:
    strides = (1, stride, stride, 1)

    @tf.custom_gradient
    def convolve(x: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            dx = tf.nn.depthwise_conv2d_backprop_input(tf.shape(x), kernel, dy, strides, padding)
            return dx, filter_gradient(x, dy, int(kernel.shape[0]), stride, padding)

        return tf.nn.depthwise_conv2d(x, kernel, strides, padding), gradient

    return convolve(x, kernel)


def filter_gradient(
    x: tf.Tensor, dy: tf.Tensor, size: int, stride: int = 1, padding: str = "SAME"
) -> tf.Tensor:
    """Return the gradient of a depthwise convolution's filter.

    Args:
        x: Its input, (image, height, width, channel), sizes known.
        dy: Gradient of its output, (image, height, width, channel), sizes known.
        size: Height and width of the filter.
        stride: Of the convolution.
        padding: "SAME" or "VALID".

    Returns:
        (size, size, channel, 1).
    """
    rows, columns = (
        [_meeting(tap, x.shape[axis], dy.shape[axis], size, stride, padding) for tap in range(size)]
        for axis in (1, 2)
    )
    nothing = tf.zeros((x.shape[3],), x.dtype)
    taps = [
        tf.reduce_sum(x[:, r[0], c[0]] * dy[:, r[1], c[1]], axis=(0, 1, 2)) if r and c else nothing
        for r in rows
        for c in columns
    ]
    return tf.reshape(tf.stack(taps), (size, size, -1, 1))


def _meeting(
    tap: int, length: int, out_length: int, size: int, stride: int, padding: str
) -> tuple[slice, slice] | None:
    """Return which inputs a tap meets along one axis, and for which outputs; None for none."""
    before = 0
    if padding == "SAME":
        before = max((out_length - 1) * stride + size - length, 0) // 2
    met = [o for o in range(out_length) if 0 <= o * stride + tap - before < length]
    if not met:
        return None
    first, last = (o * stride + tap - before for o in (met[0], met[-1]))
    return slice(first, last + 1, stride), slice(met[0], met[-1] + 1)
