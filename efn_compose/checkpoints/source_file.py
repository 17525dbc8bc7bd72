"""The file that a checkpoint's tensors are read from, opened once."""

import weakref
from pathlib import Path
from typing import BinaryIO

import numpy as np

from efn_compose.errors import UnreadableCheckpointError

#: Most tensors are vectors of a BatchNorm and lie side by side: one read serves hundreds.
_BUFFER_BYTES = 1 << 20


class SourceFile:
    """A file of raw values; it is opened at the first read and closed with its last reader.

    Args:
        path: The file.

    Example:
        >>> SourceFile(path).read(8, 3, np.dtype("float32")).shape  # doctest: +SKIP
        (3,)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def read(self, offset: int, count: int, dtype: np.dtype) -> np.ndarray:
        """Return values, in an array of their own.

        Args:
            offset: Byte where they begin.
            count: Number of values.
            dtype: Their type.

        Returns:
            Array (value,).

        Raises:
            UnreadableCheckpointError: The file ends before.
        """
        if self._file is None:
            self._file = self.path.open("rb", buffering=_BUFFER_BYTES)
            weakref.finalize(self, self._file.close)
        self._file.seek(offset)
        values = np.empty(count, dtype)
        left = memoryview(values.view(np.uint8))
        while left:
            read = self._file.readinto(left)
            if not read:
                raise UnreadableCheckpointError(f"{self.path}: truncated while it was read.")
            left = left[read:]
        return values
