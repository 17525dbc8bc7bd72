"""Generated images of earlier updates, which a critic is shown beside new ones."""

from typing import Any

import numpy as np
import tensorflow as tf

#: Images that are remembered.
_SIZE = 50


class ImageBuffer:
    """Up to 50 generated images (Shrivastava et al. 2017, arXiv:1612.07828).

    Half of the images that a critic sees are remembered ones, whose places new ones take: so it does
    not learn of the last update alone.

    Example:
        >>> buffer = ImageBuffer()
        >>> buffer.begin(8)
        >>> buffer.mixed(tf.ones((4, 8, 8, 3)), tf.constant([1, 0])).shape.as_list()
        [4, 8, 8, 3]
    """

    def __init__(self) -> None:
        self._images = tf.Variable(
            tf.zeros((_SIZE, 1, 1, 3)), trainable=False, shape=(_SIZE, None, None, 3)
        )
        #: How many images have been put at each place.
        self.taken = tf.Variable(tf.zeros(_SIZE, tf.int32), trainable=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """(place, side, side, 3), as now."""
        return tuple(self._images.read_value().shape)

    def numpy(self) -> np.ndarray:
        """Return the images of all places, zeros where there is none."""
        return np.array(self._images.read_value())

    def assign(self, values: Any) -> None:
        """Put images at all places."""
        self._images.assign(values)

    def begin(self, side: int) -> None:
        """Forget everything.

        Args:
            side: Of the images, pixels.
        """
        self._images.assign(tf.zeros((_SIZE, side, side, 3)))
        self.taken.assign(tf.zeros_like(self.taken))

    def mixed(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return new images, half of them replaced by remembered ones; traced.

        Args:
            images: (image, side, side, 3).
            seed: (2,) integers that decide the places.
        """
        places = tf.random.experimental.stateless_shuffle(tf.range(_SIZE), tf.cast(seed, tf.int32))
        places = places[: tf.shape(images)[0] // 2]
        count = tf.shape(places)[0]
        known = tf.gather(self.taken, places) > 0
        remembered = tf.gather(self._images, places)
        first = tf.where(known[:, None, None, None], remembered, images[:count])
        self._images.scatter_update(tf.IndexedSlices(images[:count], places))
        self.taken.scatter_add(tf.IndexedSlices(tf.ones_like(places), places))
        return tf.concat([first, images[count:]], axis=0)
