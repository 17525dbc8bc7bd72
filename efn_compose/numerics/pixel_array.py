"""What every consumer of images takes: an array, or what reads one from a disk when asked."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

#: Images read at a time where all are looked at.
_PART = 256


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


def in_parts(images: PixelArray) -> Iterator[np.ndarray]:
    """Yield all images, some at a time.

    Example:
        >>> [len(part) for part in in_parts(np.zeros((300, 2, 2, 3), np.uint8))]
        [256, 44]
    """
    for start in range(0, len(images), _PART):
        yield images[start : start + _PART]
