"""Writing arrays to places in a file while the next ones are being made.

A thread writes, and asks the system to begin storing what was written: by the time the last
array is there, most of the file is on the disk, and the sync that makes it safe has little to
wait for.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from efn_compose.store.weights.checksums import crc32

#: Bytes after which arrays that lie side by side are written together.
_RUN_BYTES = 1 << 20
#: Bytes after which the disk is told to begin storing.
_STORE_BYTES = 4 << 20
#: Linux takes 1,024 buffers at once.
_RUN_ARRAYS = 1000
#: Most bytes left to the thread: they stay in memory beside the next arrays.
_BEHIND_BYTES = 16 << 20


class WriteBehind:
    """A file whose bytes are given in order of place, with gaps where one likes.

    Args:
        path: An existing file; bytes that are not written stay as they are.

    Raises:
        OSError: At the next call after a write failed, or on leaving.

    Example:
        >>> with WriteBehind(path) as file:  # doctest: +SKIP
        ...     file.write(2048, np.zeros(8, np.float32))

    Attributes:
        checksums: CRC-32 of each array by its place; whole once the file is left.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Not truncated, as a descriptor is opened.
        self._file = os.open(path, os.O_WRONLY)
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._run: list[np.ndarray] = []
        self._start = self._end = self._stored = 0
        self.checksums: dict[int, int] = {}

    def __enter__(self) -> "WriteBehind":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._hand_over()
                self._wait()
        finally:
            self._thread.shutdown()
            os.close(self._file)

    def write(self, offset: int, values: np.ndarray) -> None:
        """Write an array's bytes, in C order.

        Args:
            offset: Byte where they begin.
            values: The array; it must not change before the file is left.
        """
        if not values.nbytes:
            return
        is_next = offset == self._end and len(self._run) < _RUN_ARRAYS
        if self._run and not (is_next and self._end - self._start < _RUN_BYTES):
            self._hand_over()
        if not self._run:
            self._start = self._end = offset
        self._run.append(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
        self._end += values.nbytes
        if self._end - self._start > _BEHIND_BYTES:
            self._hand_over()
            self._wait()

    def _hand_over(self) -> None:
        if self._run:
            self._wait()
            self._writing = self._thread.submit(self._write, self._start, self._run)
            self._run = []

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, start: int, arrays: list[np.ndarray]) -> None:
        place = start
        for array in arrays:
            self.checksums[place] = crc32(array)
            place += array.nbytes
        left, offset = [array.data for array in arrays], start
        while left:
            written = os.pwritev(self._file, left, offset)
            offset += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]
        if offset - self._stored >= _STORE_BYTES and hasattr(os, "posix_fadvise"):
            # Pages "not needed" any more go to the disk now instead of at the sync.
            length = offset - self._stored
            os.posix_fadvise(self._file, self._stored, length, os.POSIX_FADV_DONTNEED)
            self._stored = offset
