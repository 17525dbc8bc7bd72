"""Brightness, contrast, saturation and hue: one 3x4 matrix over RGB per image."""

import tensorflow as tf

from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.options import AugmentOptions

#: Weights of red, green and blue in grey (ITU-R BT.601).
GREY = (0.299, 0.587, 0.114)
MIDDLE = 127.5


def colour_identity(count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (image, 3, 3) identities and (image, 3) zeros."""
    return tf.eye(3, batch_shape=[count]), tf.zeros([count, 3])


def drawn_colour(
    draws: Draws, options: AugmentOptions, count: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each image's matrix (image, 3, 3) and offset (image, 3): hue, contrast, brightness."""
    turn, offset = colour_identity(count)
    if options.hue:
        turn = hue_turn(draws.uniform("hue", 1, -options.hue, options.hue)[:, 0])
    if options.contrast:
        factor = 1 + draws.uniform("contrast", 1, -options.contrast, options.contrast)
        turn = turn * factor[..., None]
        offset = offset * factor + MIDDLE * (1 - factor)
    if options.brightness:
        offset += 255 * draws.uniform("brightness", 1, -options.brightness, options.brightness)
    return turn, offset


def hue_turn(share: tf.Tensor) -> tf.Tensor:
    """Return the turns of colour space about the grey axis by shares of the circle, (image,)."""
    angle = share * (2 * 3.141592653589793)
    cos, sin = tf.cos(angle), tf.sin(angle)
    third, root = (1 - cos) / 3, sin / 3.0**0.5
    rows = [cos + third, third - root, third + root]
    return tf.stack(
        [tf.stack([rows[(c - r) % 3] for c in range(3)], axis=1) for r in range(3)], axis=1
    )


def saturation(factor: tf.Tensor) -> tf.Tensor:
    """Return maps that mix each colour with its grey; factor 1 leaves it, (image,)."""
    grey = tf.tile(tf.constant([GREY]), (3, 1))[None]
    return factor[:, None, None] * tf.eye(3)[None] + (1 - factor)[:, None, None] * grey


def apply_colour(images: tf.Tensor, turn: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Return images (image, height, width, 3) under their maps, clipped to 0-255."""
    shape = tf.shape(images)
    flat = tf.reshape(images, (shape[0], -1, 3))
    flat = tf.matmul(flat, turn, transpose_b=True) + offset[:, None]
    seen = tf.reshape(tf.clip_by_value(flat, 0.0, 255.0), shape)
    return tf.ensure_shape(seen, images.shape)
