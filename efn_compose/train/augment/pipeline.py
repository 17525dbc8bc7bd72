"""All parts of augmentation, in one order, over a batch."""

import tensorflow as tf

from efn_compose.train.augment.colour import apply_colour, drawn_colour
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.erase import punch_holes, shuffle_tiles
from efn_compose.train.augment.geometry import drawn_matrix, resample
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.augment.overlays import draw_hairs, draw_ruler
from efn_compose.train.augment.randaugment import compose_operations


@tf.autograph.experimental.do_not_convert
def augment(
    images: tf.Tensor,
    numbers: tf.Tensor,
    options: AugmentOptions,
    *,
    seed: int,
    epoch: tf.Tensor | int = 0,
) -> tf.Tensor:
    """Return augmented images; works eagerly and in `tf.data` behind `batch`.

    Geometry is one resampling and colour one map, however many parts are on. The
    draws depend on number, epoch and seed alone, not on the batch: equal batches give
    equal bits, other batches the same images up to rounding.

    Args:
        images: (image, height, width, 3), uint8 or float, 0-255.
        numbers: (image,) numbers of the images in the data set.
        options: What to do.
        seed: Common to a training.
        epoch: Another one gives other draws.

    Returns:
        float32 of the same shape, 0-255.

    Example:
        >>> images = tf.zeros((2, 8, 8, 3), tf.uint8)
        >>> augment(images, tf.range(2), AugmentOptions(rotation=20), seed=1).shape.as_list()
        [2, 8, 8, 3]
    """
    draws = Draws(numbers, epoch, seed)
    x = tf.cast(images, tf.float32)
    count = tf.shape(x)[0]
    if options.hairs:
        x = draw_hairs(x, draws, options.hairs)
    if options.ruler:
        x = draw_ruler(x, draws, options.ruler)
    space = drawn_matrix(draws, options, count)
    turn, offset = drawn_colour(draws, options, count)
    if options.randaugment_ops:
        space, turn, offset = compose_operations(
            draws, options.randaugment_ops, options.randaugment_strength, space, turn, offset
        )
    if options.rotation or options.stretch or options.randaugment_ops:
        x = resample(x, space)
    elif options.flip_x or options.flip_y:
        x = _flipped(x, space)
    if options.hue or options.contrast or options.brightness or options.randaugment_ops:
        x = apply_colour(x, turn, offset)
    if options.grid:
        x = shuffle_tiles(x, draws, options.grid_cells, options.grid)
    if options.holes:
        x = punch_holes(x, draws, options.holes, options.hole_size)
    return x


def _flipped(x: tf.Tensor, space: tf.Tensor) -> tf.Tensor:
    """Mirror by reversing, which is exact and cheaper than resampling."""
    x = tf.where((space[:, 0, 0] < 0)[:, None, None, None], x[:, :, ::-1], x)
    return tf.where((space[:, 1, 1] < 0)[:, None, None, None], x[:, ::-1], x)
