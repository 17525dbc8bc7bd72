"""Fills a file of the cache: in parallel, once per machine, and on from where a kill left it."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from efn_compose.data.cache.layout import (
    RULE,
    UNREADABLE,
    WHOLE,
    CacheFileError,
    Header,
    read_header,
    read_table,
    write_image,
    write_line,
)
from efn_compose.data.cache.place import FINISHED, UNFINISHED, make_room, no_space
from efn_compose.data.decoding.decode import for_each_image, undecodable
from efn_compose.data.identity import identities
from efn_compose.data.table import ImageSequence
from efn_compose.errors import DataError

#: How often a process looks whether another one has filled the file.
_LOOK_SECONDS = 0.2
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_key(images: ImageSequence, numbers: np.ndarray, size: int) -> str:
    """Return the name of the file that holds some images at one size.

    Args:
        images: Images by number.
        numbers: The wanted ones, ascending.
        size: Height and width in pixels.

    Example:
        >>> len(cache_key(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2), 32))
        32
    """
    digest = hashlib.sha256(f"{size}\n{RULE}\n{len(numbers)}\n".encode())
    for identity in identities(images, numbers):
        digest.update(len(identity).to_bytes(4, "little") + identity)
    return digest.hexdigest()[:32]


def fill(
    images: ImageSequence,
    numbers: np.ndarray,
    header: Header,
    folder: Path,
    show_progress: bool = True,
    *,
    tolerates: bool = False,
) -> Path:
    """Decode and resize images into a file of the cache, unless it is there; return its path.

    Only one process of a machine does so; others wait for it. A fill that was killed goes on with
    the images that are missing.

    Args:
        images: Images by number.
        numbers: The wanted ones, ascending.
        header: Of the file; its key is theirs.
        folder: The cache's folder.
        show_progress: Show a bar on a terminal when it takes more than two seconds.
        tolerates: Mark images that cannot be decoded, and finish.

    Raises:
        DataError: Images cannot be decoded, the disk is full, or the source changes meanwhile.
    """
    finished = folder / f"{header.key}{FINISHED}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_filler(finished, show_progress) as file:
            if file is None:
                return finished
            _prepare(file, header, folder)
            failures = _decode(images, numbers, header, file, show_progress)
            if failures and not tolerates:
                raise undecodable(failures, len(numbers))
            if cache_key(images, numbers, header.size) != header.key:
                finished.with_suffix(UNFINISHED).unlink()
                raise DataError(
                    f"{header.source}: its files changed while they were read. Start again when "
                    "nothing writes to them."
                )
            os.fsync(file)
            os.rename(finished.with_suffix(UNFINISHED), finished)
    except OSError as error:
        if error.errno in _NO_SPACE:
            finished.with_suffix(UNFINISHED).unlink(missing_ok=True)
            free = shutil.disk_usage(folder).free
            raise no_space(folder, header.file_bytes, free) from None
        raise DataError(
            f"{folder}: the cache of decoded images cannot be written there ({error}). Name "
            "another folder with EFN_COMPOSE_CACHE=FOLDER."
        ) from None
    return finished


@contextmanager
def _only_filler(finished: Path, show_progress: bool) -> Iterator[int | None]:
    """Hold the unfinished file, open and locked; None where another process has finished it."""
    partial, is_told = finished.with_suffix(UNFINISHED), False
    while True:
        if finished.exists():
            yield None
            return
        file = os.open(partial, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            if show_progress and not is_told:
                sys.stderr.write(
                    f"Another process decodes these images into {finished}; waiting.\n"
                )
                is_told = True
            time.sleep(_LOOK_SECONDS)
            continue
        # Renamed or removed between opening and locking: look again.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(partial)):
                break
        os.close(file)
    try:
        yield file
    finally:
        os.close(file)


def _prepare(file: int, header: Header, folder: Path) -> None:
    """Let the file have its header and all its bytes on the disk; keep images that are whole."""
    try:
        is_ours = read_header(file) == header
    except CacheFileError:
        is_ours = False
    if is_ours:
        return
    os.ftruncate(file, 0)
    make_room(folder, header.file_bytes)
    # All at once: a disk that is too small says so now, not after an hour.
    os.posix_fallocate(file, 0, header.file_bytes)
    os.pwrite(file, header.to_bytes(), 0)


def _missing(file: int, header: Header) -> np.ndarray:
    """Return the places of images that are not whole in the file."""
    table = read_table(file, header)
    is_whole = table["state"] == WHOLE
    for place in np.flatnonzero(is_whole):
        pixels = os.pread(file, header.image_bytes, header.image_at(int(place)))
        is_whole[place] = zlib.crc32(pixels) == table["crc"][place]
    return np.flatnonzero(~is_whole)


def _decode(
    images: ImageSequence, numbers: np.ndarray, header: Header, file: int, show_progress: bool
) -> list[tuple[int, str]]:
    """Fill in what is missing; return place and reason of what cannot be decoded, and mark it."""
    places = _missing(file, header)

    def keep(position: int, pixels: np.ndarray) -> None:
        write_image(file, header, int(places[position]), pixels)

    failures = for_each_image(images, numbers[places], keep, show_progress, header.size)
    for position, _ in failures:
        write_line(file, header, int(places[position]), 0, UNREADABLE)
    return [(int(places[position]), reason) for position, reason in failures]
