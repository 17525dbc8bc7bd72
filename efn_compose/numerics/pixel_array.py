"""What every consumer of images takes: an array, or what reads one from a disk when asked."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

#: Images read at a time where all are looked at.
_PART = 256
#: TensorFlow takes over memory that begins at a multiple of so many bytes; other memory it copies.
ALIGNMENT = 64


class PixelArray(Protocol):
    """(image, side, side, 3) uint8: an array, or what reads one from a disk when asked.

    A number, a slice, an array of numbers or a mask gives an array.
    """

    @property
    def shape(self) -> tuple[Any, ...]:
        """(image, side, side, 3)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""

    @property
    def ndim(self) -> int:
        """4."""

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, key: Any, /) -> np.ndarray:
        """Return images as an array."""
        ...


def aligned_pixels(shape: Sequence[int]) -> np.ndarray:
    """Return an uninitialised array whose memory a tensor can take over.

    Args:
        shape: (image, height, width, 3).

    Returns:
        uint8.

    Example:
        >>> aligned_pixels((2, 8, 8, 3)).ctypes.data % ALIGNMENT
        0
    """
    count = math.prod(shape)
    memory = np.empty(count + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + count].reshape(shape)


def gathered(images: PixelArray, numbers: np.ndarray) -> np.ndarray:
    """Return some images as an array whose memory a tensor can take over.

    Args:
        images: Images of one size.
        numbers: (image,) the wanted ones.

    Raises:
        IndexError: There is no image of such a number.

    Example:
        >>> gathered(np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), np.array([1, 1]))[:, 0, 0, 0]
        array([12, 12], dtype=uint8)
    """
    if not isinstance(images, np.ndarray):
        return images[numbers]  # what reads from a disk reads into such memory
    found = aligned_pixels((len(numbers), *images.shape[1:]))
    for row, number in zip(found, numbers.tolist(), strict=True):
        row[...] = images[number]
    return found


def in_parts(images: PixelArray) -> Iterator[np.ndarray]:
    """Yield all images, some at a time.

    Example:
        >>> [len(part) for part in in_parts(np.zeros((300, 2, 2, 3), np.uint8))]
        [256, 44]
    """
    for start in range(0, len(images), _PART):
        yield images[start : start + _PART]
