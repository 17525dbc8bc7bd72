"""Class numbers as shares per class, made for the images that are asked for."""

from typing import Any

import numpy as np

from efn_compose.data.table import UNLABELLED


class OneHot:
    """Shares (image, class) of class numbers, 1 for the image's class; rows are made when asked for.

    A million images of a thousand classes would be 4 GB, of which a batch needs a few rows.

    Args:
        labels: (image,) class numbers, `UNLABELLED` (-1) where there is none: such a row is all 0.
        classes: Number of classes.

    Example:
        >>> shares = OneHot(np.array([1, -1, 0]), 2)
        >>> shares[1:].tolist(), shares.mean(axis=0).tolist()
        ([[0.0, 0.0], [1.0, 0.0]], [0.3333333432674408, 0.3333333432674408])
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, labels: np.ndarray, classes: int) -> None:
        self._labels, self._classes = labels, classes

    @property
    def shape(self) -> tuple[int, int]:
        """(image, class)."""
        return len(self._labels), self._classes

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return len(self._labels) * self._classes * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, key: Any, /) -> np.ndarray:
        """Return the rows of a number, a slice, an array of numbers or a mask, float32."""
        wanted = np.asarray(self._labels[key])
        labels = wanted.reshape(-1)
        shares = np.zeros((len(labels), self._classes), np.float32)
        known = np.flatnonzero(labels != UNLABELLED)
        shares[known, labels[known]] = 1
        return shares.reshape(*wanted.shape, self._classes)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def mean(self, axis: int) -> np.ndarray:
        """Return how often each class occurs, (class,) float32; the axis is that of the images, 0."""
        if axis != 0:
            raise ValueError(f"axis: allowed 0, the images. Received: {axis}.")
        known = self._labels[self._labels != UNLABELLED]
        counts = np.bincount(known, minlength=self._classes).astype(np.float32)
        return counts / np.float32(len(self))
