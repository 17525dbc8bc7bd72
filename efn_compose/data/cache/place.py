"""Where the cache lies, how large it may grow, and what is removed when it is full."""

import fcntl
import os
import pwd
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from efn_compose.data.cache.layout import CacheFileError, Header, read_header
from efn_compose.errors import ConfigError, DataError

#: Environment variables: the cache's folder, and the gigabytes that it may take.
FOLDER_VARIABLE, LIMIT_VARIABLE = "EFN_COMPOSE_CACHE", "EFN_COMPOSE_CACHE_GB"
DEFAULT_LIMIT_GB = 200.0
FINISHED, UNFINISHED, NOTES = ".images", ".partial", ".notes"


def cache_folder() -> Path:
    """Return the folder of this machine's cache; it need not exist.

    `EFN_COMPOSE_CACHE`, or `efn_compose` in the user's folder for caches.
    """
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE]).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "efn_compose"


def limit_bytes() -> int:
    """Return the bytes that the cache may take: `EFN_COMPOSE_CACHE_GB`, or 200 GB.

    Raises:
        ConfigError: The variable is no positive number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "") or str(DEFAULT_LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise ConfigError(f"{LIMIT_VARIABLE} must be gigabytes above 0. Received: {text!r}.")
    return int(limit * 1e9)


@dataclass(frozen=True)
class CacheEntry:
    """A file of the cache.

    Args:
        path: The file.
        header: What it holds; None where that cannot be read.
        problem: Why it cannot be read; empty where it can.
        file_bytes: On disk.
        used: When a process last opened it, in seconds since 1970.
        is_finished: Whether all images are in it.
        is_in_use: Whether a process reads or fills it now.
    """

    path: Path
    header: Header | None
    problem: str
    file_bytes: int
    used: float
    is_finished: bool
    is_in_use: bool


def list_cache(folder: Path | None = None) -> list[CacheEntry]:
    """Return the files of the cache, the one used last first."""
    found = sorted(_entries(folder or cache_folder()), key=lambda entry: -entry.used)
    return list(found)


def clear_cache(folder: Path | None = None) -> tuple[list[CacheEntry], list[CacheEntry]]:
    """Remove the files that no process uses; return those removed and those kept."""
    entries = list_cache(folder)
    removed = [entry for entry in entries if _remove(entry)]
    return removed, [entry for entry in entries if entry not in removed]


def make_room(folder: Path, wanted: int) -> None:
    """Remove files, those used longest ago first, until so many bytes more fit.

    Raises:
        DataError: They do not fit, whatever is removed.
    """
    limit, entries = limit_bytes(), list_cache(folder)
    if wanted > limit:
        raise DataError(
            f"The decoded images take {wanted / 1e9:.1f} GB and the cache may have "
            f"{limit / 1e9:g}. Raise {LIMIT_VARIABLE}, or lower data.size."
        )
    taken = sum(entry.file_bytes for entry in entries)
    for entry in reversed(entries):
        if taken + wanted <= limit and wanted <= shutil.disk_usage(folder).free:
            break
        if _remove(entry):
            taken -= entry.file_bytes
    free = shutil.disk_usage(folder).free
    if taken + wanted > limit or wanted > free:
        raise no_space(folder, wanted, min(free, limit - taken))


def no_space(folder: Path, wanted: int, free: int) -> DataError:
    """Return the error for a cache that does not fit on its disk."""
    return DataError(
        f"The decoded images take {wanted / 1e9:.2f} GB, {free / 1e9:.2f} GB are free for the cache "
        f"in {folder}. Name a larger disk with {FOLDER_VARIABLE}=FOLDER, or lower data.size."
    )


def cannot_use(path: Path, verb: str) -> DataError:
    """Return the error for a file of the cache that this user may not touch, or whose disk fails.

    Args:
        path: The file.
        verb: What this user wants to do with it, such as "read".
    """
    try:
        owner = os.stat(path).st_uid
    except OSError:
        owner = os.getuid()
    if owner == os.getuid():
        return DataError(f"{path}: it is there, but one cannot {verb} it. Is the disk in order?")
    return DataError(
        f"{path}: it belongs to {_user_name(owner)}, and you may not {verb} it. Its owner can allow "
        f"that (chmod) or remove it. Or name a folder of your own with {FOLDER_VARIABLE}=FOLDER."
    )


def _user_name(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:  # of another machine, or none of a container's
        return f"user number {number}"


def _entries(folder: Path) -> Iterator[CacheEntry]:
    for path in [*folder.glob(f"*{FINISHED}"), *folder.glob(f"*{UNFINISHED}")]:
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:  # removed meanwhile
            continue
        try:
            status = os.fstat(file)
            header, problem = None, ""
            try:
                header = read_header(file)
            except CacheFileError as error:
                problem = str(error)
            is_in_use = not _can_lock(file)
        finally:
            os.close(file)
        used, size = status.st_mtime, status.st_blocks * 512
        yield CacheEntry(path, header, problem, size, used, path.suffix == FINISHED, is_in_use)


def _can_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(entry: CacheEntry) -> bool:
    """Remove a file and the notes on it; return whether it is gone.

    It stays where a process uses it, or where it is another user's.
    """
    try:
        file = os.open(entry.path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    try:
        if not _can_lock(file):
            return False
        entry.path.unlink(missing_ok=True)
        entry.path.with_suffix(NOTES).unlink(missing_ok=True)
        return True
    except OSError:  # another user's, or on a disk that is read-only
        return False
    finally:
        os.close(file)
