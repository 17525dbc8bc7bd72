"""What methods that paint an image have in common: a decoder without skips on the backbone."""

from abc import abstractmethod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.arch import DecoderSpec
from efn_compose.donors import Donor
from efn_compose.donors.unet import drawn_decoder
from efn_compose.models.unet import decoder_outputs
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.selfsup.watched import Watched


class Painting(Watched):
    """An objective whose network paints, from its coarsest feature map alone.

    With skips a decoder would copy what the encoder has not understood. What no decoder reads, such
    as the network's top, stays as it is.

    Args:
        pretrain: The method's settings.
        views: Not read: images are as `[augment]` leaves them.
    """

    #: Channels that are painted.
    channels: int = 3

    @property
    def decoder(self) -> DecoderSpec:
        """What paints."""
        return DecoderSpec("mirror", self.channels, skips=False)

    @property
    def target_spec(self) -> tf.TensorSpec:
        """What is to be painted, (image, size, size, channel)."""
        return tf.TensorSpec((None, None, None, None), tf.float32)

    def build(self, donor: Donor) -> keras.Model:
        """Build backbone and decoder; layers that no decoder reads are held."""
        self._donor = donor.without_head()
        model = super().build(donor)
        # What no decoder reads has no gradient.
        read = keras.Model(model.input, model.outputs[1]).layers
        for layer in {*model.layers} - {*read}:
            layer.trainable = False
        return model

    def head(self, backbone: keras.Model, pooled: Any) -> list[Any]:
        """Return what is painted, (image, size, size, channel)."""
        spec = self._donor.spec.with_decoder(self.decoder)
        return [decoder_outputs(backbone, spec, self._donor.conventions)]

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Draw the decoder."""
        super().draw(model, donor, seed)
        for name, values in drawn_decoder(self._donor, self.decoder, seed).items():
            layer, _, role = name.partition("/")
            assign_role(model.get_layer(layer), role, values)

    @abstractmethod
    def painted_loss(self, painted: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """Return the loss of each image, (image,).

        Args:
            painted: (image, size, size, channel).
            wanted: The same, from `prepare`.
        """

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the summed losses of the images."""
        painted = tf.cast(model(pixels, training=True)[1], tf.float32)
        return tf.reduce_sum(self.painted_loss(painted, targets))

    def painted(self, pixels: Any) -> np.ndarray:
        """Return what is painted of images, (image, size, size, channel) float32.

        Args:
            pixels: (image, size, size, 3) float32, 0-255.
        """
        return np.asarray(self._model(self.scaled(pixels), training=False)[1], np.float32)

    @abstractmethod
    def pictures(self, images: PixelArray) -> list[np.ndarray]:
        """Return what the network sees, what it paints, and what it should paint."""


def assign_role(layer: keras.layers.Layer, role: str, values: np.ndarray) -> None:
    """Give a layer's variable values.

    Args:
        layer: A convolution or BatchNorm of a decoder.
        role: "kernel", "depthwise_kernel", "bias", "gamma", "beta", "moving_mean" or
            "moving_variance".
        values: Of the variable's shape; a depthwise kernel may have one axis less.
    """
    for variable in layer.variables:
        if variable.name == role or (role == "depthwise_kernel" and "kernel" in variable.name):
            variable.assign(np.reshape(values, variable.shape))
            return
    raise KeyError(f"{layer.name} has no {role}: {[v.name for v in layer.variables]}")
