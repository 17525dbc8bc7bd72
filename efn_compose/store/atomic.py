"""Writing files so that a reader sees the old one or the new one, never half of one."""

import errno
import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from efn_compose.errors import ConfigError, RunError

#: Of a write by process 77: ".result.json.77.partial".
_PARTIAL = re.compile(r"\..+\.(\d+)\.partial")


def existing_folder(path: Path) -> Path:
    """Return a folder that is there, or the nearest one above it.

    Args:
        path: A folder, there or not.

    Example:
        >>> existing_folder(Path("/no such folder/below")).as_posix()
        '/'
    """
    return next(place for place in (path, *path.absolute().parents) if place.is_dir())


def free_bytes(path: Path) -> int:
    """Return the free bytes of the disk where a folder is or will be.

    Args:
        path: The folder.
    """
    return shutil.disk_usage(existing_folder(path)).free


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Raise `RunError` unless a folder's disk has room, before the first byte is written.

    Args:
        folder: An existing folder.
        needed_bytes: Bytes about to be written.
    """
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise RunError(
            f"{folder}: not enough disk space. Needed: {needed_bytes / 1e6:,.1f} MB, "
            f"free: {free / 1e6:,.1f} MB. Free some or choose another place."
        )


def check_writable(flag: str, path: Path) -> None:
    """Refuse a place where a file or folder cannot be made, before anything is computed for it.

    Args:
        flag: What names the path, for the message.
        path: What will be written.

    Raises:
        ConfigError: Its folder does not exist.
        RunError: There is no permission to write.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{flag} {path}: the folder {path.parent} does not exist.")
    if not os.access(path.parent, os.W_OK):
        raise RunError(f"{path}: no permission to write there. Choose another output path.")


def is_same_file(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> bool:
    """Return whether two paths are of one file that is there, also through links."""
    return os.path.isfile(first) and os.path.isfile(second) and os.path.samefile(first, second)


def refuse_to_replace(path: Path, *read: str | os.PathLike[str]) -> None:
    """Raise `RunError` where a file that will be written is one that is read, also through links.

    Args:
        path: What will be written.
        read: What is read; files that are not there are nobody's loss.
    """
    for other in read:
        if is_same_file(path, other):
            raise RunError(
                f"{path}: would replace a file that is read. Choose another output path."
            )


@contextmanager
def atomic_path(path: str | os.PathLike[str], needed_bytes: int = 0) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed over it.

    On any exception the temporary file is removed and `path` stays as it was.

    Args:
        path: The file to create or replace; its folder must be writable.
        needed_bytes: Checked against the free disk space first.

    Raises:
        RunError: The folder is missing, not writable, or too full.

    Example:
        >>> with atomic_path("notes.txt") as temporary:  # doctest: +SKIP
        ...     temporary.write_text("whole or not at all")
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder. Create it, or choose another output path.")
    check_free_space(folder, needed_bytes)
    temporary = folder / f".{path.name}.{os.getpid()}.partial"
    try:
        with _readable_os_errors(path):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _fsync_folder(folder)
    finally:
        # Of a disk that is read-only nothing can be removed, not even what is not there.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _readable_os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        code = error.errno
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in str(error):
            raise RunError(
                f"{path}: the disk is full; nothing was changed. Free some space."
            ) from None
        if code in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunError(f"{path}: no permission to write there; nothing was changed.") from None
        raise


def remove_partial_files(folder: Path, of: str = "") -> None:
    """Remove what writes of killed processes left; those of other running processes stay.

    Args:
        folder: Looked through with all folders below it.
        of: The name of one file, in the folder itself; empty for all.

    Example:
        >>> remove_partial_files(Path("runs/mine"))  # doctest: +SKIP
    """
    candidates = folder.glob(f".{glob.escape(of)}.*.partial") if of else folder.rglob(".*.partial")
    for path in list(candidates):
        found = _PARTIAL.fullmatch(path.name)
        # A number may be ours again after a restart; this process has not begun to write here.
        if found and (int(found[1]) == os.getpid() or not _is_running(int(found[1]))):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file atomically, in UTF-8.

    Example:
        >>> write_text("card.md", "# Magic weights")  # doctest: +SKIP
    """
    with atomic_path(path, len(text)) as temporary:
        temporary.write_text(text, encoding="utf-8")
