"""Layers that compute what Keras' own do, in fewer passes over memory.

Keras writes a BatchNormalization as a dozen elementwise operations and leaves them to a compiler;
TensorFlow has the whole of it, gradient included, as one operation. A 1 × 1 convolution of
a 1 × 1 map, as in squeeze-and-excite, is a product of matrices, and costs a convolution's
preparations besides. Weights and their names are Keras'.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from keras import layers

from efn_compose.models.compiled_swish import CompiledSwish
from efn_compose.models.small_maps import SmallMapDepthwise


class FusedBatchNormalization(layers.BatchNormalization):
    """A `BatchNormalization` of feature maps (image, height, width, channel) as one operation.

    Differs from Keras' in rounding only. Statistics are those of the batch itself, as
    Keras' are: TensorFlow's operation would store the unbiased variance.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return normalised feature maps; in training the moving statistics follow."""
        is_plain = mask is None and self.scale and self.center and not self.renorm
        if not is_plain or len(inputs.shape) != 4 or inputs.dtype not in _FUSED_TYPES:
            return super().call(inputs, training=training, mask=mask)
        is_training = bool(training) and self.trainable
        gamma, beta, moving_mean, moving_variance = (
            tf.cast(tf.convert_to_tensor(variable), tf.float32)
            for variable in (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.constant([], tf.float32) if is_training else moving_mean,
            variance=tf.constant([], tf.float32) if is_training else moving_variance,
            epsilon=self.epsilon,
            is_training=is_training,
        )
        if is_training:
            count = tf.cast(tf.size(inputs, tf.int64) // inputs.shape[-1], tf.float32)
            variance *= (count - 1) / count
            kept = self.momentum
            if not isinstance(kept, float):
                kept = tf.convert_to_tensor(kept)  # a variable is read once
            new = 1.0 - kept
            self.moving_mean.assign(moving_mean * kept + mean * new)
            self.moving_variance.assign(moving_variance * kept + variance * new)
        return outputs


class GateConvolution(layers.Conv2D):
    """A 1 × 1 `Conv2D` that is a product of matrices."""

    def call(self, inputs: Any) -> Any:
        """Return the convolution of maps (image, height, width, channel)."""
        if self.kernel_size != (1, 1) or self.strides != (1, 1) or self.activation is not _LINEAR:
            return super().call(inputs)
        kernel = tf.reshape(tf.convert_to_tensor(self.kernel), (-1, self.filters))
        pixels = tf.reshape(inputs, (-1, kernel.shape[0]))
        found = tf.matmul(pixels, kernel)
        if self.use_bias:
            found = tf.nn.bias_add(found, tf.convert_to_tensor(self.bias))
        rows, columns = inputs.shape[1:3]
        if rows is not None and columns is not None:
            return tf.reshape(found, (-1, rows, columns, self.filters))
        shape = tf.shape(inputs)
        return tf.reshape(found, (shape[0], shape[1], shape[2], self.filters))


@dataclass(frozen=True)
class LayerKinds:
    """The classes a network is built of; Keras' own by default.

    Args:
        depthwise: Of depthwise convolutions.
        norm: Of BatchNorms.
        gate: Of the two convolutions of a squeeze-and-excite.
        activation: Of activations.
        conv: Of convolutions without a bias.
    """

    depthwise: type[layers.DepthwiseConv2D] = layers.DepthwiseConv2D
    norm: type[layers.BatchNormalization] = layers.BatchNormalization
    gate: type[layers.Conv2D] = layers.Conv2D
    activation: type[layers.Activation] = layers.Activation
    conv: type[layers.Conv2D] = layers.Conv2D


_FUSED_TYPES = ("float32", "float16", "bfloat16", tf.float32, tf.float16, tf.bfloat16)
_LINEAR = layers.Conv2D(1, 1).activation

#: Images up to this size are left to TensorFlow's swish: their searches keep the bits they always had,
#: and are too short for compiling.
_SMALL_IMAGES = 64


def fast_layers(size: int | None = None) -> LayerKinds:
    """Return what trains fastest on processors: measured in experiments/engine_throughput.py.

    Args:
        size: Height and width of the images in pixels; None where they are not known.
    """
    is_large = size is not None and size > _SMALL_IMAGES
    activation = CompiledSwish if is_large else layers.Activation
    return LayerKinds(SmallMapDepthwise, FusedBatchNormalization, GateConvolution, activation)
