"""A denoising autoencoder: cells of the image are hidden, the whole image is painted."""

import numpy as np
import tensorflow as tf

from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.augment.colour import MIDDLE
from efn_compose.train.augment.draws import Draws
from efn_compose.train.objectives.objective import Seen
from efn_compose.train.selfsup.pixels import Painting

#: Share of an image's cells that are hidden, and cells per side.
HIDDEN, CELLS = 0.25, 8
#: Weight of the missing structural similarity.
_STRUCTURE = 0.1


class Autoencoder(Painting):
    """Vincent et al. 2010: what is hidden has to be understood from the rest.

    The loss is the mean absolute difference, and a tenth of what is missing to a structural
    similarity of 1 (Wang et al. 2004).

    Example:
        >>> Autoencoder().decoder.skips
        False
    """

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return images with hidden cells, and the images as they are, 0 to 1."""
        draws = Draws(seen.numbers, seen.epoch, seen.seed)
        return hide_cells(seen.pixels, draws), seen.pixels / 255

    def painted_loss(self, painted: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
        """Return absolute difference and missing similarity."""
        difference = tf.reduce_mean(tf.abs(painted - wanted), axis=(1, 2, 3))
        likeness = tf.image.ssim(painted, wanted, max_val=1.0, filter_size=7)
        return difference + _STRUCTURE * (1 - likeness)

    def pictures(self, images: PixelArray) -> list[np.ndarray]:
        """Return images with hidden cells, what is painted, and the images."""
        pixels = tf.constant(np.asarray(images[:], np.float32))
        seen = hide_cells(pixels, Draws(tf.range(len(images)), 0, 0)).numpy()
        painted = np.clip(255 * self.painted(seen), 0, 255)
        return [np.rint(row).astype(np.uint8) for row in (seen, painted, pixels.numpy())]


def hide_cells(pixels: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Return images of which a quarter of 8 x 8 cells is grey, each cell by chance.

    Args:
        pixels: (image, size, size, 3), 0-255.
        draws: Of the images.
    """
    cells = draws.uniform("hidden", CELLS * CELLS)
    cells = tf.reshape(tf.cast(cells < HIDDEN, tf.float32), (-1, CELLS, CELLS, 1))
    hidden = tf.image.resize(cells, tf.shape(pixels)[1:3], method="nearest")
    return tf.where(hidden > 0, MIDDLE, pixels)
