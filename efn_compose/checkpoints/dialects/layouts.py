"""Tensor layouts: the only place that knows how each format orders a tensor's axes.

Canonical layouts are Keras': kernels (height, width, in, out), depthwise kernels
(height, width, channel, 1), the classifier (in, classes), vectors (channel,).
Every layout is a transpose plus inserted axes of length one, hence invertible.
Height and width are never exchanged.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Layout:
    """How a foreign array becomes the canonical one, and back.

    Args:
        name: Key in `LAYOUTS`.
        squeeze: Foreign axes of length one that are dropped first.
        transpose: Order of the remaining foreign axes.
        leading: Axes of length one put before the result.
        rank: Number of foreign axes.

    Example:
        >>> LAYOUTS["torch_conv"].canonical_shape((32, 3, 5, 5))
        (5, 5, 3, 32)
    """

    name: str
    rank: int
    transpose: tuple[int, ...]
    squeeze: tuple[int, ...] = ()
    leading: int = 0

    @property
    def is_identity(self) -> bool:
        """Whether canonical and foreign arrays are the same."""
        return not self.squeeze and not self.leading and self.transpose == tuple(range(self.rank))

    @cached_property
    def _back(self) -> tuple[int, ...]:
        return tuple(map(int, np.argsort(self.transpose)))

    def canonical_shape(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the canonical shape of a foreign one, or None where it cannot have this layout."""
        if self.name == "identity":
            return shape
        if len(shape) != self.rank or any(shape[axis] != 1 for axis in self.squeeze):
            return None
        kept = [length for axis, length in enumerate(shape) if axis not in self.squeeze]
        return (1,) * self.leading + tuple(kept[axis] for axis in self.transpose)

    def to_foreign(self, array: np.ndarray) -> np.ndarray:
        """Return a canonical array in foreign layout, C-contiguous."""
        moved = self.foreign_view(array)
        return np.ascontiguousarray(moved).reshape(moved.shape)

    def foreign_view(self, array: np.ndarray) -> np.ndarray:
        """Return a foreign-layout view of a C-contiguous canonical array; writing to it changes the array."""
        if self.name == "identity":
            return array
        kept = array.reshape(array.shape[self.leading :]) if self.leading else array
        moved = kept.transpose(self._back)
        return np.expand_dims(moved, self.squeeze) if self.squeeze else moved


_ALL = (
    Layout("identity", 0, ()),
    # PyTorch: out, in, height, width; depthwise: channel, 1, height, width; dense: out, in.
    Layout("torch_conv", 4, (2, 3, 1, 0)),
    Layout("torch_depthwise", 4, (2, 3, 0, 1)),
    Layout("torch_dense", 2, (1, 0)),
    # A squeeze-and-excite convolution stored as a dense layer: out, in.
    Layout("torch_dense_as_conv", 2, (1, 0), leading=2),
    # A classifier stored as a 1x1 convolution: out, in, 1, 1.
    Layout("torch_conv_as_dense", 4, (1, 0), squeeze=(2, 3)),
    # Keras and TensorFlow arrays are canonical; a squeeze-and-excite dense kernel is in, out.
    Layout("dense_as_conv", 2, (0, 1), leading=2),
)

#: Every layout by name; "identity" fits any rank.
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in _ALL}
