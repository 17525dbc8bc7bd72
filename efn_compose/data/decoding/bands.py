"""Large images made RGB a band of rows at a time, so that a drawing of gigabytes takes a part of them."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.data.decoding.opening import to_rgb

if TYPE_CHECKING:
    from PIL import Image

#: Pixels of a band; smaller images are one.
_BAND = 2**20
#: Images of more pixels are decoded one at a time: each takes up to eight bytes per pixel.
_LARGE = 2**25
_one_large_at_a_time = threading.Lock()


def room_for(image: "Image.Image") -> AbstractContextManager[object]:
    """Return what waits until no other thread decodes a large image, if this is one.

    Args:
        image: Open, not yet loaded.
    """
    return _one_large_at_a_time if image.width * image.height > _LARGE else nullcontext()


def rgb_pixels(image: "Image.Image", size: int = 0) -> np.ndarray:
    """Return the pixels of a loaded image as RGB, the same to the bit as those of the image in one piece.

    A bilinear resize goes along the rows first, each row by itself, and along the columns then.

    Args:
        image: Upright, of any mode that `to_rgb` takes.
        size: Height and width to bring it to, bilinear and antialiased; 0: its own.

    Returns:
        (height, width, 3) or (size, size, 3) uint8.

    Raises:
        ValueError: Its pixels have no fixed range.

    Example:
        >>> from PIL import Image
        >>> rgb_pixels(Image.new("L", (6, 4), 7), 2).tolist()[0]
        [[7, 7, 7], [7, 7, 7]]
    """
    from PIL import Image

    width, height = image.size
    if width * height <= _BAND:
        return np.asarray(resized(to_rgb(image), size))
    if not size:
        found = np.empty((height, width, 3), np.uint8)
        for top, band in _bands(image):
            found[top : top + band.height] = np.asarray(band)
        return found
    narrow = Image.new("RGB", (size, height))
    for top, band in _bands(image):
        narrow.paste(band.resize((size, band.height), Image.Resampling.BILINEAR), (0, top))
    return np.asarray(resized(narrow, size))


def resized(image: "Image.Image", size: int) -> "Image.Image":
    """Return an image of height and width `size`, bilinear and antialiased; of its own for 0."""
    from PIL import Image

    if not size or image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)


def _bands(image: "Image.Image") -> "Iterator[tuple[int, Image.Image]]":
    """Yield the first row of each band, and the band as RGB."""
    width, height = image.size
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        yield top, to_rgb(image.crop((0, top, width, min(top + rows, height))))
