"""Two views of an image that differ in crop, colour and sharpness: one resampling, one map of colour."""

import tensorflow as tf

from efn_compose.train.augment.colour import (
    MIDDLE,
    apply_colour,
    colour_identity,
    hue_turn,
    saturation,
)
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.geometry import matrix, resample
from efn_compose.train.selfsup.options import ViewOptions

#: Sides of a crop have at most this ratio.
_RATIO = 4 / 3
#: Images of this side and below stay sharp: there is nothing left to blur.
_SMALL = 64
#: Seeds of the draws of views are so far from those of `[augment]`, which have the same purposes.
OWN_DRAWS = 15_485_863


def draw_view(pixels: tf.Tensor, draws: Draws, options: ViewOptions) -> tf.Tensor:
    """Return one view of each image.

    Args:
        pixels: (image, size, size, 3) float32, 0-255.
        draws: Of these images; another view has draws of its own.
        options: What differs between views.

    Returns:
        float32 of the same shape, 0-255.

    Example:
        >>> images = tf.fill((2, 8, 8, 3), 100.0)
        >>> view = draw_view(images, Draws(tf.range(2), 0, 1), ViewOptions())
        >>> view.shape.as_list()
        [2, 8, 8, 3]
    """
    x = pixels
    if options.crop < 1:
        x = resample(x, crop_map(draws, options.crop))
    turn, offset = colour_map(draws, options, tf.shape(x)[0])
    x = apply_colour(x, turn, offset)
    # A size that is not known when this is traced is looked at when it runs.
    if options.blur and (x.shape[1] is None or x.shape[1] > _SMALL):
        happens = draws.happens("blur", options.blur) & (tf.shape(x)[1] > _SMALL)
        x = tf.where(happens[:, None, None, None], blurred(x), x)
    return x


def crop_map(draws: Draws, smallest: float) -> tf.Tensor:
    """Return maps (image, 3, 3) to a rectangle inside each image, sides at most 4 : 3.

    Args:
        draws: Of the images.
        smallest: Share of the area.
    """
    area = draws.uniform("crop", 1, smallest, 1.0)[:, 0]
    ratio = tf.pow(_RATIO, draws.uniform("ratio", 1, -1.0, 1.0)[:, 0] / 2)
    width, height = (tf.minimum(tf.sqrt(area) * side, 1.0) for side in (ratio, 1 / ratio))
    place = draws.uniform("place", 2, -1.0, 1.0)
    zero = tf.zeros_like(area)
    return matrix(width, zero, zero, height, place[:, 0] * (1 - width), place[:, 1] * (1 - height))


def colour_map(draws: Draws, options: ViewOptions, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each image's matrix (image, 3, 3) and offset (image, 3)."""

    def within(name: str, most: float) -> tf.Tensor:
        return draws.uniform(name, 1, -most, most)

    same, nothing = colour_identity(count)
    turn = hue_turn(within("hue", options.hue)[:, 0])
    turn = saturation(1 + within("saturation", options.saturation)[:, 0]) @ turn
    factor = 1 + within("contrast", options.contrast)
    turn, offset = turn * factor[..., None], MIDDLE * (1 - factor) + nothing
    offset += 255 * within("brightness", options.brightness)
    is_changed = draws.happens("jitter", options.jitter)
    turn = tf.where(is_changed[:, None, None], turn, same)
    offset = tf.where(is_changed[:, None], offset, nothing)
    grey = saturation(tf.zeros([count]))
    is_grey = draws.happens("grey", options.grey)[:, None]
    offset = tf.where(is_grey, tf.linalg.matvec(grey, offset), offset)
    return tf.where(is_grey[..., None], grey @ turn, turn), offset


def blurred(x: tf.Tensor) -> tf.Tensor:
    """Return images blurred by a Gaussian of one pixel, edges repeated."""
    places = tf.range(-2, 3, dtype=tf.float32)
    weights = tf.exp(-places * places / 2)
    weights = weights / tf.reduce_sum(weights)
    x = tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]], mode="SYMMETRIC")
    for shape in ((5, 1), (1, 5)):
        kernel = tf.tile(tf.reshape(weights, (*shape, 1, 1)), (1, 1, 3, 1))
        x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID")
    return x
