"""The file that a checkpoint's tensors are read from, opened once, and the values in it."""

import io
import math
import os
import weakref
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.errors import UnreadableCheckpointError

#: Most tensors are vectors of a BatchNorm and lie side by side: one read serves many. What is
#: larger goes past the buffer.
_BUFFER_BYTES = 1 << 16
#: Larger tensors are read so much at a time, which a processor's cache holds while it is checked
#: and its axes are reordered.
_SLAB_BYTES = 1 << 18

FETCH_AGAIN = "Fetch or write it again."


class SourceFile:
    """A file of raw values; it is opened at the first read and closed with its last reader.

    Args:
        path: The file; another one under its name, or other content, is refused later.

    Example:
        >>> SourceFile(path).read(8, 3, np.dtype("float32")).shape  # doctest: +SKIP
        (3,)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: io.BufferedReader | None = None
        self._state = _state(os.stat(path))

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
        values = np.empty(count, dtype)
        self.read_into(offset, values)
        return values

    def read_bytes(self, offset: int, count: int) -> bytes:
        """Return bytes; fewer where the file ends before."""
        file = self.open()
        file.seek(offset)
        return file.read(count)

    def read_into(self, offset: int, values: np.ndarray) -> None:
        """Fill an array (value,) with the values that begin at a byte of the file.

        Raises:
            UnreadableCheckpointError: The file ends before.
        """
        file = self.open()
        file.seek(offset)
        left = values.view(np.uint8).data
        while left:
            read = file.readinto(left)
            if not read:
                raise UnreadableCheckpointError(f"{self.path}: truncated while it was read.")
            left = left[read:]

    def open(self) -> io.BufferedReader:
        """Open the file now, not at the first read."""
        if self._file is None:
            try:
                file = io.FileIO(self.path)
            except OSError as error:
                raise UnreadableCheckpointError(
                    f"{self.path}: gone while it was read ({error.strerror})."
                ) from None
            if _state(os.fstat(file.fileno())) != self._state:
                file.close()
                raise UnreadableCheckpointError(f"{self.path}: changed while it was read.")
            self._file = io.BufferedReader(file, _BUFFER_BYTES)
            self._closing = weakref.finalize(self, self._file.close)
        return self._file

    def close(self) -> None:
        """Close the file; another read opens it again."""
        if self._file is not None:
            self._closing()
            self._file = None


def _state(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class StoredValues:
    """A tensor that lies in a file whole, its last axis running fastest; read when called.

    Args:
        file: The file.
        find: Returns the byte where the values begin.
        shape: Shape; every length is at least one.
        dtype: Type of the values.
        crc: CRC-32 of their bytes where the file says one.
        where: File and tensor, for the message where it is another one.
        step: What to do then.

    Raises:
        UnreadableCheckpointError: When read: the file ends before, or the checksum is wrong.

    Example:
        >>> StoredValues(file, lambda: 64, (32, 3, 3, 3), dtype)().shape  # doctest: +SKIP
        (32, 3, 3, 3)
    """

    file: SourceFile
    find: Callable[[], int]
    shape: tuple[int, ...]
    dtype: np.dtype
    crc: int | None = None
    where: str = ""
    step: str = FETCH_AGAIN

    def __call__(self) -> np.ndarray:
        """Return the values in an array of their own."""
        values = np.empty(self.shape, self.dtype)
        self.copy_to(values)
        return values

    def copy_to(self, target: np.ndarray) -> None:
        """Read the values into an array of their shape, of any strides and type.

        The memory needed is one slab, for a tensor of any size.
        """
        offset, crc = self.find(), 0
        row = math.prod(self.shape[1:])
        rows = self.shape[0] if self.shape else 1
        step = max(1, _SLAB_BYTES // (row * self.dtype.itemsize))
        is_same = target.dtype == self.dtype and target.flags.c_contiguous
        values = target.reshape(-1) if is_same else np.empty(min(rows, step) * row, self.dtype)
        for first in range(0, rows, step):
            last = min(first + step, rows)
            part = values[first * row : last * row] if is_same else values[: (last - first) * row]
            self.file.read_into(offset, part)
            offset += part.nbytes
            if self.crc is not None:
                crc = zlib.crc32(part.view(np.uint8).data, crc)
            if is_same:
                continue
            if step >= rows:
                target[...] = part.reshape(self.shape)
            else:
                target[first:last] = part.reshape(last - first, *self.shape[1:])
        if self.crc is not None and crc != self.crc:
            raise wrong_checksum(self.where, self.step)


def wrong_checksum(where: str, step: str = FETCH_AGAIN) -> UnreadableCheckpointError:
    """Return the error for values that do not match their checksum."""
    return UnreadableCheckpointError(f"{where}: its checksum is wrong: the file is damaged. {step}")
