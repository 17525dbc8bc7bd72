"""A small generator: from noise to an image of 64 pixels, by enlargement and convolutions."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

#: Numbers that an image is made of, and channels of the maps from coarse to fine.
NOISE = 128
_WIDTHS = (128, 128, 64, 32, 16)
_FIRST = 4


class Noise(layers.Layer):
    """Zeros in the form of noise: the objective draws noise of its own, by seed and update."""

    def call(self, pixels: Any) -> Any:
        """Return (image, number)."""
        return tf.zeros((tf.shape(pixels)[0], NOISE))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, int]:
        """Return the shape of the noise for the shape of a batch."""
        return shape[0], NOISE


def build_generator() -> keras.Model:
    """Build the generator, from noise (image, number) to (image, 64, 64, 3), any values.

    Maps are normalised per image, so that no image depends on its batch.

    Example:
        >>> build_generator().output_shape
        (None, 64, 64, 3)
    """
    noise = keras.Input((NOISE,))
    x = layers.Dense(_FIRST * _FIRST * _WIDTHS[0], name="generator_dense")(noise)
    x = layers.Reshape((_FIRST, _FIRST, _WIDTHS[0]))(x)
    for number, width in enumerate(_WIDTHS):
        if number:
            x = layers.UpSampling2D(2)(x)
        x = layers.Conv2D(width, 3, padding="same", name=f"generator_{number}")(x)
        x = layers.GroupNormalization(groups=-1, center=False, scale=False)(x)
        x = layers.LeakyReLU(0.2)(x)
    image = layers.Conv2D(3, 3, padding="same", name="generator_image")(x)
    return keras.Model(noise, image, name="generator_of_images")
