"""Holes and shuffled tiles."""

import tensorflow as tf

from efn_compose.data.masks.masks import IGNORED
from efn_compose.errors import ConfigError
from efn_compose.train.augment.draws import Draws


def punch_holes(images: tf.Tensor, draws: Draws, holes: int, size: float) -> tf.Tensor:
    """Return images with grey squares, whose centres are uniform over the image.

    One hole is cutout (DeVries and Taylor 2017, arXiv:1708.04552), several are coarse dropout.

    Args:
        images: (image, height, width, channel) float32, 0-255.
        draws: The images' draws.
        holes: Squares per image.
        size: Side of a square, as a share of the image's height.
    """
    return tf.where(_hidden(images, draws, holes, size), 127.5, images)


def punch_masks(masks: tf.Tensor, draws: Draws, holes: int, size: float) -> tf.Tensor:
    """Return masks that ignore what `punch_holes` hides: nobody is asked about what is not seen.

    Args:
        masks: (image, height, width, 1) uint8.
        draws: The images' draws.
        holes: Squares per image.
        size: Side of a square, as a share of the image's height.
    """
    return tf.where(_hidden(masks, draws, holes, size), tf.constant(IGNORED, tf.uint8), masks)


def _hidden(images: tf.Tensor, draws: Draws, holes: int, size: float) -> tf.Tensor:
    """Return which pixels lie in holes, (image, height, width, 1) bool."""
    shape = tf.shape(images)
    height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    rows, columns = tf.range(height) + 0.5, tf.range(width) + 0.5
    centres = draws.uniform("holes", 2 * holes)
    half = size * height / 2
    in_rows = tf.abs(rows[None, None] - centres[:, :holes, None] * height) < half
    in_columns = tf.abs(columns[None, None] - centres[:, holes:, None] * width) < half
    return tf.reduce_any(in_rows[..., None] & in_columns[:, :, None], axis=1)[..., None]


def shuffle_tiles(images: tf.Tensor, draws: Draws, cells: int, probability: float) -> tf.Tensor:
    """Return images, or their masks, some of which have their tiles in random order.

    Raises:
        ConfigError: The side is no multiple of `cells`. (A graph that does not know the side
            raises TensorFlow's InvalidArgumentError when it runs.)
    """
    side_y, side_x = images.shape[1], images.shape[2]
    if (side_y or 0) % cells or (side_x or 0) % cells:
        raise ConfigError(
            f"grid_cells = {cells} must divide the image's sides. Received: {side_y} x {side_x}."
        )
    if side_y is None or side_x is None:
        side_y, side_x = tf.shape(images)[1], tf.shape(images)[2]
        rest = tf.stack([side_y % cells, side_x % cells])
        with tf.control_dependencies(
            [tf.debugging.assert_equal(rest, 0, f"grid_cells = {cells} must divide the sides")]
        ):
            side_y, side_x = tf.identity(side_y), tf.identity(side_x)
    order = tf.argsort(draws.uniform("tiles", cells * cells), axis=1)
    still = tf.range(cells * cells)[None]
    order = tf.where(draws.happens("grid", probability)[:, None], order, still)
    high, wide, channels = side_y // cells, side_x // cells, images.shape[3]
    tiles = tf.reshape(images, (-1, cells, high, cells, wide, channels))
    tiles = tf.reshape(
        tf.transpose(tiles, (0, 1, 3, 2, 4, 5)), (-1, cells * cells, high, wide, channels)
    )
    tiles = tf.gather(tiles, order, batch_dims=1)
    tiles = tf.reshape(tiles, (-1, cells, cells, high, wide, channels))
    joined = tf.reshape(tf.transpose(tiles, (0, 1, 3, 2, 4, 5)), tf.shape(images))
    return tf.ensure_shape(joined, images.shape)
