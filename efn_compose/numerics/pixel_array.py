"""What every consumer of images takes: an array, or what reads one from a disk when asked."""

from typing import Any, Protocol

import numpy as np


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
