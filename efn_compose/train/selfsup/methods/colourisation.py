"""Colourisation: the colours of a grey image are painted."""

import numpy as np
import tensorflow as tf

from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment.colour import apply_colour, colour_identity, saturation
from efn_compose.train.augment.draws import Draws
from efn_compose.train.objectives.objective import Seen
from efn_compose.train.selfsup.lab import COLOUR_RANGE, lab_colours, lab_to_rgb, rgb_to_lab
from efn_compose.train.selfsup.pixels import Painting

#: Share of images that keep their colours, so that the encoder does not forget to look at them.
COLOURED = 0.5
#: Differences beyond this count by their size, below it by their square.
_HUBER = 0.1


class Colourisation(Painting):
    """Zhang, Isola and Efros 2016, arXiv:1603.08511, with a continuous loss in place of classes.

    Half of the images is seen grey, half in its colours: where colour is what tells cases apart, a
    network that has seen grey alone would look away from it.

    Example:
        >>> Colourisation().channels
        2
    """

    channels = 2

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return images, half of them grey, and the colours of all, -1 to 1."""
        draws = Draws(seen.numbers, seen.epoch, seen.seed)
        keeps = draws.happens("coloured", COLOURED)
        return greyed(seen.pixels, keeps), lab_colours(seen.pixels) / COLOUR_RANGE

    def painted_loss(self, painted: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """Return Huber's loss of the two axes of colour, in units of its bend."""
        distance = tf.abs(painted - wanted) / _HUBER
        bent = tf.where(distance < 1, distance * distance / 2, distance - 0.5)
        return tf.reduce_mean(bent, axis=(1, 2, 3))

    def pictures(self, images: PixelArray) -> list[np.ndarray]:
        """Return grey images, these with painted colours, and the images."""
        pixels = np.asarray(images[:], np.float32)
        grey = greyed(tf.constant(pixels), tf.zeros(len(pixels), tf.bool)).numpy()
        lab = rgb_to_lab(pixels)
        painted = np.concatenate([lab[..., :1], COLOUR_RANGE * self.painted(grey)], axis=-1)
        return [np.rint(row).astype(np.uint8) for row in (grey, lab_to_rgb(painted), pixels)]


def greyed(pixels: tf.Tensor, keeps: tf.Tensor) -> tf.Tensor:
    """Return images without their colours, but for those that keep them.

    Args:
        pixels: (image, size, size, 3), 0-255.
        keeps: (image,) bool.
    """
    same, nothing = colour_identity(tf.shape(pixels)[0])
    grey = saturation(tf.zeros_like(nothing[:, 0]))
    return apply_colour(pixels, tf.where(keeps[:, None, None], same, grey), nothing)
