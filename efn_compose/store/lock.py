"""A lock that a run folder's one process holds, and that dies with it."""

import errno
import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from efn_compose.errors import RunError, RunLockedError


class FolderLock:
    """An exclusive lock on a file, freed by the operating system when the process ends.

    The file says who holds the lock; the lock itself is `flock`, so a file left behind by a
    killed process locks nothing. The file stays when the lock is released: removing it
    would let two processes lock two different files of the same name.

    Args:
        path: The lock file; created where missing.

    Raises:
        RunLockedError: Another process holds it; the message says which, where, since when.
        RunError: The file cannot be created, or its file system has no locks.

    Example:
        >>> with FolderLock(Path("runs/first/lock")):  # doctest: +SKIP
        ...     pass
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(f"{path}: cannot be created ({error.strerror}).") from None
        self._descriptor: int | None = descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sign(descriptor)
        except BlockingIOError:
            holder = _holder(descriptor)
            self._close()
            raise RunLockedError(
                f"{path.parent}: in use by {holder}. "
                "Wait for it, stop it, or choose another run path."
            ) from None
        except OSError as error:
            self._close()
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
                raise RunError(
                    f"{path}: this file system cannot lock files; choose a run path on another."
                ) from None
            raise RunError(f"{path}: cannot be locked ({error.strerror}).") from None
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go of the lock; releasing twice does nothing."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _sign(descriptor: int) -> None:
    owner = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(owner).encode() + b"\n", 0)


def _holder(descriptor: int) -> str:
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    # The holder may be between taking the lock and signing.
    except (ValueError, KeyError, TypeError):
        return "another process"
