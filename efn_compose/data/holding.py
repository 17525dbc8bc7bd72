"""Whether decoded images are held in memory by each process, or read from the machine's cache."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from efn_compose.data.cache.images import CachedImages, cached_images
from efn_compose.data.cache.order import ShareOut
from efn_compose.data.decoding.decode import resize_images
from efn_compose.data.table import ChosenImages, ImageSequence
from efn_compose.errors import ConfigError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.store.environment import free_memory

ImagesIn = Literal["auto", "memory", "cache"]
#: Of the free memory, what all copies of the images may take; networks need the rest.
_SHARE = 0.5
#: Sets this small are held in any case.
_SMALL_BYTES = 64e6


@dataclass(frozen=True)
class Holding:
    """Where the decoded images of a run are.

    Args:
        asked: "memory", "cache", or "auto" for what fits.
        copies: Processes of a machine that would each hold them.
        free_bytes: Memory that can be had; None asks the machine.
        share_out: Lets the nodes of a cluster fill their caches together.

    Example:
        >>> Holding("auto", copies=3, free_bytes=int(8e9)).is_cached(int(1e9))
        False
        >>> Holding("auto", copies=5, free_bytes=int(8e9)).is_cached(int(1e9))
        True
    """

    asked: ImagesIn = "auto"
    copies: int = 2
    free_bytes: int | None = None
    share_out: ShareOut | None = None

    def is_cached(self, image_bytes: int) -> bool:
        """Return whether images of so many bytes are read from the cache."""
        if self.asked != "auto":
            return self.asked == "cache"
        free = self.free
        return image_bytes > _SMALL_BYTES and (
            free is not None and self.copies * image_bytes > _SHARE * free
        )

    @property
    def free(self) -> int | None:
        """Memory that can be had, None where the system does not say."""
        return free_memory() if self.free_bytes is None else self.free_bytes

    def words(self, image_bytes: int) -> str:
        """Return where images of so many bytes are, and why."""
        size, free = f"{image_bytes / 1e9:.2f} GB", self.free
        known = "" if free is None else f" of {free / 1e9:.1f} GB free memory"
        if self.asked != "auto":
            return f"{size}, in the {self.asked} as executor.images says"
        if self.is_cached(image_bytes):
            return f"{size}, read from the cache: {self.copies} copies would take over half{known}"
        return f"{size}, held in memory {self.copies} times{known}"

    def hold(
        self,
        images: ImageSequence,
        numbers: np.ndarray,
        size: int,
        source: str = "",
        show_progress: bool = True,
    ) -> PixelArray:
        """Return images at one size.

        Args:
            images: RGB uint8 images by number.
            numbers: Numbers of the wanted ones, in the wanted order.
            size: Height and width in pixels.
            source: Where they come from, for people.
            show_progress: Show a bar on a terminal when it takes more than two seconds.

        Raises:
            ConfigError: They are to be in memory, where they do not fit.
            DataError: Some images cannot be decoded, or the cache cannot be written.
        """
        ready = _cached_already(images, numbers, size)
        if ready is not None:
            return ready
        wanted, free = len(numbers) * size * size * 3, self.free
        if self.asked == "memory" and free is not None and self.copies * wanted > free:
            fitting = int(free / wanted) - 1
            raise ConfigError(
                f"executor.images is 'memory', but {self.copies} copies of {wanted / 1e9:.1f} GB are "
                f"more than the {free / 1e9:.1f} GB that are free. Set executor.images = 'cache', or "
                + (f"executor.workers = {fitting}." if fitting > 0 else "a smaller data.size.")
            )
        if not self.is_cached(wanted):
            return resize_images(images, numbers, size, show_progress)
        return cached_images(
            images,
            numbers,
            size,
            source=source,
            show_progress=show_progress,
            share_out=self.share_out,
        )


def _cached_already(images: ImageSequence, numbers: np.ndarray, size: int) -> "CachedImages | None":
    """Return images that are read from the cache at this size as it is, such as a table's readable ones."""
    if isinstance(images, ChosenImages):
        return _cached_already(images.images, images.numbers[numbers], size)
    if isinstance(images, CachedImages) and images.size == size:
        return images.taken(numbers)
    return None
