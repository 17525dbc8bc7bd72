"""All parts of augmentation, in one order, over a batch."""

import tensorflow as tf

from efn_compose.train.augment.colour import apply_colour, drawn_colour
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.erase import punch_holes, punch_masks, shuffle_tiles
from efn_compose.train.augment.geometry import drawn_matrix, resample, resample_masks
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.augment.overlays import draw_hairs, draw_ruler
from efn_compose.train.augment.policies.drawing import drawn_steps
from efn_compose.train.augment.policies.operations import apply_pixels, space_of
from efn_compose.train.augment.randaugment import compose_operations


@tf.autograph.experimental.do_not_convert
def augment(
    images: tf.Tensor,
    numbers: tf.Tensor,
    options: AugmentOptions,
    *,
    seed: tf.Tensor | int,
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
    return _augmented(images, None, numbers, options, seed, epoch)[0]


@tf.autograph.experimental.do_not_convert
def augment_with_masks(
    images: tf.Tensor,
    masks: tf.Tensor,
    numbers: tf.Tensor,
    options: AugmentOptions,
    *,
    seed: tf.Tensor | int,
    epoch: tf.Tensor | int = 0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return augmented images as `augment` does, and their masks, moved with them.

    Flips, turns, shears, shifts, stretches and shuffled tiles move a mask as they move its image,
    each pixel taking the nearest class. What comes from beyond the image's edge and what
    lies in a hole is `IGNORED`. Colours, hairs and rulers leave a mask as it is.

    Args:
        images: (image, height, width, 3), uint8 or float, 0-255.
        masks: (image, height, width) uint8 classes.
        numbers: (image,) numbers of the images in the data set.
        options: What to do.
        seed: Common to a training.
        epoch: Another one gives other draws.

    Returns:
        Images float32 of the same shape, 0-255, and masks uint8.

    Example:
        >>> images, masks = tf.zeros((2, 8, 8, 3), tf.uint8), tf.ones((2, 8, 8), tf.uint8)
        >>> turn = AugmentOptions(rotation=20)
        >>> augment_with_masks(images, masks, tf.range(2), turn, seed=1)[1].shape.as_list()
        [2, 8, 8]
    """
    maps = tf.convert_to_tensor(masks)[..., None]
    seen, moved = _augmented(images, maps, numbers, options, seed, epoch)
    return seen, tf.squeeze(moved, axis=-1)


def _augmented(
    images: tf.Tensor,
    masks: tf.Tensor | None,
    numbers: tf.Tensor,
    options: AugmentOptions,
    seed: tf.Tensor | int,
    epoch: tf.Tensor | int,
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Return images and masks (image, height, width, 1); None stays None."""
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
        masks = masks if masks is None else resample_masks(masks, space)
    elif options.flip_x or options.flip_y:
        x = _flipped(x, space)
        masks = masks if masks is None else _flipped(masks, space)
    if options.hue or options.contrast or options.brightness or options.randaugment_ops:
        x = apply_colour(x, turn, offset)
    if options.auto != "none":
        x, masks = _under_policy(x, masks, draws, options.auto)
    if options.grid:
        cells, chance = options.grid_cells, options.grid
        x = shuffle_tiles(x, draws, cells, chance)
        masks = masks if masks is None else shuffle_tiles(masks, draws, cells, chance)
    if options.holes:
        holes, size = options.holes, options.hole_size
        x = punch_holes(x, draws, holes, size)
        masks = masks if masks is None else punch_masks(masks, draws, holes, size)
    return x, masks


def _under_policy(
    x: tf.Tensor, masks: tf.Tensor | None, draws: Draws, policy: str
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Apply a published policy, one step after another."""
    for operation, strength in drawn_steps(draws, policy):
        space = space_of(operation, strength)
        x = apply_pixels(resample(x, space), operation, strength)
        masks = masks if masks is None else resample_masks(masks, space)
    return x, masks


def _flipped(x: tf.Tensor, space: tf.Tensor) -> tf.Tensor:
    """Mirror by reversing, which is exact and cheaper than resampling."""
    x = tf.where((space[:, 0, 0] < 0)[:, None, None, None], x[:, :, ::-1], x)
    return tf.where((space[:, 1, 1] < 0)[:, None, None, None], x[:, ::-1], x)
