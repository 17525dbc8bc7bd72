"""A small network that changes an image: two strides down, three residual blocks, two up."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

_WIDTHS = (32, 64, 128)
_BLOCKS = 3
#: Values this near to black and white count as so near: beyond, no change would be seen.
_EDGE = 0.01


def build_translator(name: str) -> keras.Model:
    """Build a translator, from pixels (image, height, width, 3), -1 to 1, to changes of them.

    Maps are normalised per image, so that no image depends on its batch. Sides that four does not
    divide come out longer; `translate` cuts the rest off.

    Args:
        name: Prefix of the layers.

    Example:
        >>> build_translator("generator_a").output_shape
        (None, None, None, 3)
    """
    image = keras.Input((None, None, 3))
    x = _convolved(image, _WIDTHS[0], f"{name}_in")
    for number, width in enumerate(_WIDTHS[1:], start=1):
        x = _convolved(x, width, f"{name}_down{number}", strides=2)
    for number in range(1, _BLOCKS + 1):
        y = _convolved(x, _WIDTHS[-1], f"{name}_block{number}_first")
        y = layers.Conv2D(_WIDTHS[-1], 3, padding="same", name=f"{name}_block{number}_second")(y)
        x = layers.Add()([x, layers.GroupNormalization(groups=-1, center=False, scale=False)(y)])
    for number, width in enumerate(reversed(_WIDTHS[:-1]), start=1):
        x = _convolved(layers.UpSampling2D(2)(x), width, f"{name}_up{number}")
    return keras.Model(
        image, layers.Conv2D(3, 3, padding="same", name=f"{name}_image")(x), name=f"{name}_whole"
    )


def translate(translator: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
    """Return changed images; where the network says 0, an image stays as it is.

    Args:
        translator: Of `build_translator`.
        pixels: (image, height, width, 3), 0 to 1.

    Returns:
        The same shape, 0 to 1.
    """
    height, width = tf.shape(pixels)[1], tf.shape(pixels)[2]
    changes = translator(2 * pixels - 1, training=False)[:, :height, :width]
    inside = tf.clip_by_value(pixels, _EDGE, 1 - _EDGE)
    return tf.nn.sigmoid(tf.math.log(inside / (1 - inside)) + tf.cast(changes, tf.float32))


def _convolved(x: Any, width: int, name: str, strides: int = 1) -> Any:
    x = layers.Conv2D(width, 3, strides=strides, padding="same", name=name)(x)
    x = layers.GroupNormalization(groups=-1, center=False, scale=False)(x)
    return layers.ReLU()(x)
