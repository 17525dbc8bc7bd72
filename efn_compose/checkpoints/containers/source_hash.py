"""SHA-256 of a checkpoint's files, worked out by a thread while the checkpoint is read."""

import hashlib
import threading
from concurrent.futures import CancelledError, Future
from pathlib import Path

#: Bytes that are hashed at a time, without Python's lock.
_BLOCK_BYTES = 1 << 21


class SourceHash:
    """SHA-256 of a file's bytes, or of all files of a TF checkpoint in name order; begun at once.

    Args:
        path: A file, or the prefix of a TF checkpoint.

    Example:
        >>> len(SourceHash(path).result())  # doctest: +SKIP
        64
    """

    def __init__(self, path: Path) -> None:
        self._hash: Future[str] = Future()
        self._stop = threading.Event()
        # A conversion that fails does not wait for it.
        self._thread = threading.Thread(target=self._work, args=(path,), daemon=True)
        self._thread.start()

    def result(self) -> str:
        """Return the hash in hexadecimal digits, waiting for it.

        Raises:
            OSError: A file cannot be read.
        """
        return self._hash.result()

    @property
    def is_cancelled(self) -> bool:
        """Whether the hash was given up before it was whole."""
        return self._stop.is_set() and not (self._hash.done() and self._hash.exception() is None)

    def cancel(self) -> None:
        """Give up the hash, where it is not whole yet, and leave the files."""
        self._stop.set()
        self._thread.join()

    def _work(self, path: Path) -> None:
        try:
            self._hash.set_result(_sha256(path, self._stop))
        except Exception as error:
            self._hash.set_exception(error)


def _sha256(path: Path, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    files = [path] if path.is_file() else sorted(path.parent.glob(f"{path.name}.*"))
    for each in files:
        with each.open("rb", buffering=0) as file:
            while read := file.readinto(block):
                digest.update(block[:read])
                if stop.is_set():
                    raise CancelledError
    return digest.hexdigest()
