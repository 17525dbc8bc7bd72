"""The cache of decoded images, for people: what is in it, and how to empty it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.data.cache.place import (
    CacheEntry,
    cache_folder,
    clear_cache,
    limit_bytes,
    list_cache,
)


@dataclass(frozen=True)
class CacheReport:
    """What the cache holds, and what was removed from it.

    Args:
        folder: Where it lies.
        limit_bytes: What it may take.
        entries: Its files, the one used last first.
        removed: Files that were there.
    """

    folder: Path
    limit_bytes: int
    entries: Sequence[CacheEntry]
    removed: Sequence[CacheEntry] = ()

    @property
    def taken_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.file_bytes for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {
            "folder": str(self.folder),
            "limit_bytes": self.limit_bytes,
            "bytes": self.taken_bytes,
            "files": [_fields(entry) for entry in self.entries],
            "removed": [_fields(entry) for entry in self.removed],
        }

    def __str__(self) -> str:
        """Return the files as lines for people."""
        taken, limit = self.taken_bytes / 1e9, self.limit_bytes / 1e9
        lines = [f"{self.folder}: {taken:.2f} GB of at most {limit:g} GB"]
        if self.removed:
            gone = sum(entry.file_bytes for entry in self.removed)
            lines.append(f"removed {len(self.removed)} files, {gone / 1e9:.2f} GB")
        return "\n".join([*lines, *map(_line, self.entries)])


def cache(*, clear: bool = False) -> CacheReport:
    """Return what this machine's cache of decoded images holds.

    Args:
        clear: Remove every file that no process uses first.

    Raises:
        ConfigError: `EFN_COMPOSE_CACHE_GB` is no positive number.

    Example:
        >>> print(efn_compose.cache())  # doctest: +SKIP
        /home/me/.cache/efn_compose: 11.80 GB of at most 200 GB
        11.80 GB  60,000 images of 256 px  folder:photos  used 2026-11-28 21:00
    """
    limit = limit_bytes()
    if not clear:
        return CacheReport(cache_folder(), limit, list_cache())
    removed, kept = clear_cache()
    return CacheReport(cache_folder(), limit, kept, removed)


def _fields(entry: CacheEntry) -> dict[str, Any]:
    header = entry.header
    return {
        "file": entry.path.name,
        "bytes": entry.file_bytes,
        "images": None if header is None else header.count,
        "size": None if header is None else header.size,
        "source": None if header is None else header.source,
        "problem": entry.problem or None,
        "finished": entry.is_finished,
        "in_use": entry.is_in_use,
        "used": entry.used,
    }


def _line(entry: CacheEntry) -> str:
    header, when = entry.header, time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
    what = (
        f"{entry.path.name}: {entry.problem}"
        if header is None
        else f"{header.count:,} images of {header.size} px  {header.source}"
    )
    state = "" if entry.is_finished else ", not finished"
    state += ", in use" if entry.is_in_use else ""
    return f"{entry.file_bytes / 1e9:.2f} GB  {what}  used {when}{state}"
