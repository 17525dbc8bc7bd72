"""Images as a resident model takes them: all of them on its device, or some steps' at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from efn_compose.data.cache.images import CachedImages
from efn_compose.numerics.pixel_array import PixelArray, gathered
from efn_compose.train.engine.handed_over import handed_over
from efn_compose.train.engine.placement import Placement

#: Bytes of images that are brought to the device at a time; three such parts are alive at once. The first
#: part is waited for, and the system takes back freed memory of more than 32 MiB and clears it anew.
CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Chunk:
    """Some steps' images.

    Args:
        images: uint8 (image, height, width, 3).
        places: int32 (step, image), which of these images each step takes.
        numbers: int32 (step, image), the numbers of the same images in their part.
    """

    images: tf.Tensor
    places: np.ndarray
    numbers: np.ndarray


class Feed:
    """Images of one part, given out in the order that a loop wants them.

    Args:
        images: uint8 (image, height, width, 3): a tensor on the device, or what is not there yet.
        put: Makes a tensor on the device, while the chunk before is trained on.

    Example:
        >>> feed = Feed(tf.zeros((4, 8, 8, 3), tf.uint8))
        >>> [chunk.places.tolist() for chunk in feed.chunks(np.array([[2, 0], [1, 3]]))]
        [[[2, 0], [1, 3]]]
    """

    def __init__(
        self,
        images: "tf.Tensor | PixelArray",
        put: Callable[[np.ndarray], tf.Tensor] = handed_over,
    ) -> None:
        self._images, self._put = images, put

    def __len__(self) -> int:
        return int(self._images.shape[0])

    def chunks(self, order: np.ndarray) -> Iterator[Chunk]:
        """Yield the images of all steps; while one chunk is used, the next comes to the device.

        Args:
            order: Image numbers (step, image).
        """
        images = self._images
        if isinstance(images, tf.Tensor):
            yield Chunk(images, order, order)
            return

        def read(start: int) -> Chunk:
            numbers = order[start : start + steps]
            places = np.arange(numbers.size, dtype=np.int32).reshape(numbers.shape)
            return Chunk(self._put(gathered(images, numbers.reshape(-1))), places, numbers)

        each = order.shape[1] * images.nbytes // max(1, len(images))
        steps = max(1, CHUNK_BYTES // max(1, each))
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(read, 0)
            for start in range(0, len(order), steps):
                chunk = coming.result()
                if start + steps < len(order):
                    coming = reader.submit(read, start + steps)
                yield chunk


def held(images: PixelArray, placement: Placement) -> Feed:
    """Return a feed of a part's images: on the device for good, or where they have no room, as wanted.

    Args:
        images: In memory or in the cache.
        placement: Says what has room.
    """
    if isinstance(images, CachedImages) or not placement.has_room(images.nbytes):
        return Feed(images)
    return Feed(tf.constant(images[:]))


def as_feed(images: "tf.Tensor | Feed") -> Feed:
    """Return a feed of images; one that is given is returned as it is."""
    return images if isinstance(images, Feed) else Feed(images)
