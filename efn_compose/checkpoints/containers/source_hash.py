"""SHA-256 of a checkpoint's files, worked out by a thread while the checkpoint is read."""

import hashlib
import threading
from concurrent.futures import Future
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
        # A conversion that fails does not wait for it.
        threading.Thread(target=self._work, args=(path,), daemon=True).start()

    def result(self) -> str:
        """Return the hash in hexadecimal digits, waiting for it.

        Raises:
            OSError: A file cannot be read.
        """
        return self._hash.result()

    def _work(self, path: Path) -> None:
        try:
            self._hash.set_result(_sha256(path))
        except Exception as error:
            self._hash.set_exception(error)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(_BLOCK_BYTES))
    files = [path] if path.is_file() else sorted(path.parent.glob(f"{path.name}.*"))
    for each in files:
        with each.open("rb", buffering=0) as file:
            while read := file.readinto(block):
                digest.update(block[:read])
    return digest.hexdigest()
