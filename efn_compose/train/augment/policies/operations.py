"""The operations of policies on a batch, each image its own: space, colours, and what is no matrix."""

import tensorflow as tf

from efn_compose.train.augment.colour import GREY, apply_colour, colour_identity, saturation
from efn_compose.train.augment.geometry import identity, matrix, rotation
from efn_compose.train.augment.policies.tables import OPERATIONS

#: Of Pillow's smoothing filter, which sharpness blends with: the middle, the rest 1, over the sum.
_MIDDLE, _SUM = 5.0, 13.0


def space_of(operation: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Return each image's map in space, (image, 3, 3), the identity where its operation has none.

    Args:
        operation: (image,) numbers in `OPERATIONS`.
        strength: (image,) in the operation's unit.
    """
    one = tf.ones_like(strength)

    def amount(name: str, unit: float = 1.0) -> tf.Tensor:
        return tf.where(_is(operation, name), strength * unit, 0.0)

    # A share of the side is twice as much in halves of the side.
    sheared = matrix(
        one, amount("shear_x"), amount("shear_y"), one, amount("shift_x", 2), amount("shift_y", 2)
    )
    return identity(tf.shape(strength)[0]) @ rotation(amount("rotate")) @ sheared


def apply_pixels(images: tf.Tensor, operation: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Return images under the operations that change their values and not their places.

    Args:
        images: (image, height, width, 3) float32, 0-255.
        operation: (image,) numbers in `OPERATIONS`.
        strength: (image,) in the operation's unit.
    """
    images = _under_matrix(images, operation, strength)
    whole = tf.round(images)
    factor = 1 + strength[:, None, None, None]
    further = {
        "sharpness": lambda: tf.clip_by_value(_blend(_smooth(images), images, factor), 0, 255),
        "posterize": lambda: _posterized(whole, strength),
        "solarize": lambda: tf.where(whole >= strength[:, None, None, None], 255 - images, images),
        "autocontrast": lambda: _autocontrast(images),
        "equalize": lambda: _equalized(whole),
    }
    for name, function in further.items():
        images = tf.where(_is(operation, name)[:, None, None, None], function(), images)
    return images


def _is(operation: tf.Tensor, name: str) -> tf.Tensor:
    return operation == OPERATIONS.index(name)


def _under_matrix(images: tf.Tensor, operation: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Return images under brightness, saturation, contrast and inversion: one colour map."""
    turn, offset = colour_identity(tf.shape(images)[0])

    def factor(name: str) -> tf.Tensor:
        return tf.where(_is(operation, name), 1 + strength, 1.0)

    turn = turn * factor("brightness")[:, None, None]
    turn = saturation(factor("saturation")) @ turn
    # Pillow's contrast turns about the mean grey of the image.
    grey = tf.reduce_mean(tf.linalg.matvec(images, tf.constant(GREY)), axis=(1, 2))
    contrast = factor("contrast")[:, None]
    turn = turn * contrast[..., None]
    offset = offset * contrast + tf.round(grey)[:, None] * (1 - contrast)
    inverts = _is(operation, "invert")[:, None]
    turn = turn * tf.where(inverts, -1.0, 1.0)[..., None]
    offset = tf.where(inverts, 255 - offset, offset)
    return apply_colour(images, turn, offset)


def _blend(first: tf.Tensor, second: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    return first + (second - first) * share


def _smooth(images: tf.Tensor) -> tf.Tensor:
    """Return the mean of each pixel and its neighbours, the edge of the image as it is."""
    shape = tf.shape(images)
    sums = 9 * tf.nn.avg_pool2d(images, 3, 1, "VALID")
    inner = (sums + (_MIDDLE - 1) * images[:, 1:-1, 1:-1]) / _SUM
    smooth = tf.pad(inner, [[0, 0], [1, 1], [1, 1], [0, 0]])
    rows, columns = tf.range(shape[1]), tf.range(shape[2])
    is_inner = ((rows > 0) & (rows < shape[1] - 1))[:, None] & (
        (columns > 0) & (columns < shape[2] - 1)
    )
    return tf.where(is_inner[None, ..., None], smooth, images)


def _posterized(whole: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Return images with so many bits per channel; other strengths than 1 to 8 are not asked for."""
    step = tf.pow(2.0, 8 - tf.clip_by_value(tf.round(bits), 0.0, 8.0))[:, None, None, None]
    return tf.floor(whole / step) * step


def _autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Return images whose channels reach from 0 to 255; a channel of one value stays."""
    low = tf.reduce_min(images, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(images, axis=(1, 2), keepdims=True)
    spread = (images - low) * 255 / tf.maximum(high - low, 1e-6)
    return tf.where(high > low, spread, images)


def _equalized(whole: tf.Tensor) -> tf.Tensor:
    """Return images whose channels have all values alike often, by Pillow's rule."""
    shape = tf.shape(whole)
    values = tf.cast(tf.transpose(whole, (0, 3, 1, 2)), tf.int32)
    flat = tf.reshape(values, (shape[0] * 3, -1))
    counts = tf.math.bincount(flat, minlength=256, maxlength=256, axis=-1)
    # The brightest value does not count: it stays where it is.
    last = tf.gather(counts, tf.reduce_max(flat, axis=1), batch_dims=1)
    step = (tf.shape(flat)[1] - last) // 255
    before = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.clip_by_value(
        (before + (step // 2)[:, None]) // tf.maximum(step, 1)[:, None], 0, 255
    )
    table = tf.where(step[:, None] > 0, table, tf.range(256)[None])
    mapped = tf.gather(table, flat, batch_dims=1)
    mapped = tf.transpose(tf.reshape(mapped, (shape[0], 3, shape[1], shape[2])), (0, 2, 3, 1))
    return tf.ensure_shape(tf.cast(mapped, tf.float32), whole.shape)
