"""Flips, turns, shears, shifts and stretches: one matrix per image, one resampling of it."""

import tensorflow as tf

from efn_compose.data.masks.masks import IGNORED
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.options import AugmentOptions


def identity(count: tf.Tensor) -> tf.Tensor:
    """Return (image, 3, 3) identities."""
    return tf.eye(3, batch_shape=[count])


def matrix(
    xx: tf.Tensor, xy: tf.Tensor, yx: tf.Tensor, yy: tf.Tensor, dx: tf.Tensor, dy: tf.Tensor
) -> tf.Tensor:
    """Return (image, 3, 3) maps from output to input, in units of half a side, centre 0."""
    zero, one = tf.zeros_like(xx), tf.ones_like(xx)
    rows = [xx, xy, dx, yx, yy, dy, zero, zero, one]
    return tf.reshape(tf.stack(rows, axis=1), (-1, 3, 3))


def rotation(angle: tf.Tensor) -> tf.Tensor:
    """Return the maps of turns by angles in degrees, (image,)."""
    radians = angle * (3.141592653589793 / 180)
    cos, sin, zero = tf.cos(radians), tf.sin(radians), tf.zeros_like(angle)
    return matrix(cos, -sin, sin, cos, zero, zero)


def drawn_matrix(draws: Draws, options: AugmentOptions, count: tf.Tensor) -> tf.Tensor:
    """Return each image's own map: flips, then rotation, then stretch."""
    zero = tf.zeros([count])
    sign_x = tf.where(draws.happens("flip_x", options.flip_x), -1.0, 1.0)
    sign_y = tf.where(draws.happens("flip_y", options.flip_y), -1.0, 1.0)
    found = matrix(sign_x, zero, zero, sign_y, zero, zero)
    if options.rotation:
        angle = draws.uniform("rotation", 1, -options.rotation, options.rotation)[:, 0]
        found = found @ rotation(angle)
    if options.stretch:
        exponent = draws.uniform("stretch", 2, -1.0, 1.0)
        scale = tf.pow(1 + options.stretch, exponent)
        found = found @ matrix(scale[:, 0], zero, zero, scale[:, 1], zero, zero)
    return found


def resample(images: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Return images seen through their maps; beyond the edge the image is mirrored.

    Args:
        images: (image, height, width, channel) float32.
        maps: (image, 3, 3) from `matrix`.
    """
    return _transformed(images, maps, interpolation="BILINEAR", fill_mode="REFLECT", fill=0.0)


def resample_masks(masks: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Return masks seen through their images' maps: the nearest class, beyond the edge `IGNORED`.

    Args:
        masks: (image, height, width, 1) uint8.
        maps: (image, 3, 3) from `matrix`.
    """
    return _transformed(
        masks, maps, interpolation="NEAREST", fill_mode="CONSTANT", fill=float(IGNORED)
    )


def _transformed(
    images: tf.Tensor, maps: tf.Tensor, interpolation: str, fill_mode: str, fill: float
) -> tf.Tensor:
    shape = tf.shape(images)
    half_y, half_x = (tf.cast(shape[axis] - 1, tf.float32) / 2 for axis in (1, 2))
    to_pixels = tf.convert_to_tensor([[half_x, 0, half_x], [0, half_y, half_y], [0, 0, 1.0]])
    to_units = tf.convert_to_tensor([[1 / half_x, 0, -1.0], [0, 1 / half_y, -1.0], [0, 0, 1.0]])
    whole = to_pixels[None] @ maps @ to_units[None]
    seen = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.reshape(whole, (-1, 9))[:, :8],
        output_shape=shape[1:3],
        fill_value=fill,
        interpolation=interpolation,
        fill_mode=fill_mode,
    )
    return tf.ensure_shape(seen, images.shape)
