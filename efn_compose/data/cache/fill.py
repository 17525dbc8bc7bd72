"""Fills a file of the cache: in parallel, once per machine, and on from where a kill left it."""

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
    EMPTY,
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
from efn_compose.data.cache.place import FINISHED, UNFINISHED, cannot_use, make_room, no_space
from efn_compose.data.cache.write_out import PART_BYTES, begin_writing
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
    with told(header, folder), _only_filler(finished, show_progress) as file:
        if file is not None:
            unfinished = Unfinished(file, finished, header)
            failures = _decode(images, numbers, unfinished, show_progress)
            if failures and not tolerates:
                raise undecodable(failures, len(numbers))
            unfinished.finish(images, numbers)
    return finished


@contextmanager
def told(header: Header, folder: Path) -> Iterator[None]:
    """Say in words what goes wrong with a disk in here; nothing unfinished is left on a full one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            (folder / f"{header.key}{UNFINISHED}").unlink(missing_ok=True)
            free = shutil.disk_usage(folder).free
            raise no_space(folder, header.file_bytes, free) from None
        raise DataError(
            f"{folder}: the cache of decoded images cannot be written there ({error}). Name "
            "another folder with EFN_COMPOSE_CACHE=FOLDER."
        ) from None


class Unfinished:
    """A file of the cache that is being filled, and of which this process holds the lock.

    It gets its header and all its bytes on the disk; images that are whole are kept.

    Args:
        file: The open file.
        finished: What it will be called.
        header: Of the file.
    """

    def __init__(self, file: int, finished: Path, header: Header) -> None:
        self.finished, self.header = finished, header
        self._file = file
        try:
            is_ours = read_header(file) == header
        except CacheFileError:
            is_ours = False
        if is_ours:
            return
        os.ftruncate(file, 0)
        make_room(finished.parent, header.file_bytes)
        # All at once: a disk that is too small says so now, not after an hour.
        os.posix_fallocate(file, 0, header.file_bytes)
        os.pwrite(file, header.to_bytes(), 0)

    def missing(self) -> np.ndarray:
        """Return the places of images that are not whole in the file."""
        table = read_table(self._file, self.header)
        is_whole = table["state"] == WHOLE
        for place in np.flatnonzero(is_whole):
            at = self.header.image_at(int(place))
            pixels = os.pread(self._file, self.header.image_bytes, at)
            is_whole[place] = zlib.crc32(pixels) == table["crc"][place]
        return np.flatnonzero(~is_whole)

    def write(self, place: int, pixels: np.ndarray) -> None:
        """Write an image (size, size, 3) uint8; the system begins to bring those before it to the disk."""
        header = self.header
        write_image(self._file, header, place, pixels)
        part = max(1, PART_BYTES // header.image_bytes)
        if place % part == part - 1:
            # Once more the part before: threads write at several places. Not the table: who writes a
            # line would wait for the disk.
            first = header.image_at(max(0, place + 1 - 2 * part))
            begin_writing(self._file, first, header.image_at(place + 1) - first)

    def mark(self, place: int) -> None:
        """Say that an image cannot be decoded."""
        write_line(self._file, self.header, place, 0, UNREADABLE)

    def is_filled(self) -> bool:
        """Return whether each image is there, or known to be undecodable."""
        return bool((read_table(self._file, self.header)["state"] != EMPTY).all())

    def finish(self, images: ImageSequence, numbers: np.ndarray | None) -> None:
        """Bring all to the disk, and give the file its name.

        Args:
            images: What it was filled from.
            numbers: Those in the file; None where this machine does not see them.

        Raises:
            DataError: They changed meanwhile; the file is removed.
        """
        partial = self.finished.with_suffix(UNFINISHED)
        header = self.header
        if numbers is not None and cache_key(images, numbers, header.size) != header.key:
            partial.unlink()
            raise DataError(
                f"{header.source}: its files changed while they were read. Start again when "
                "nothing writes to them."
            )
        os.fsync(self._file)
        os.rename(partial, self.finished)


@contextmanager
def _only_filler(finished: Path, show_progress: bool) -> Iterator[int | None]:
    """Hold the unfinished file, open and locked; None where another process has finished it."""
    is_told = False
    while not finished.exists():
        file = lock_unfinished(finished)
        if file is None:
            if show_progress and not is_told:
                sys.stderr.write(
                    f"Another process decodes these images into {finished}; waiting.\n"
                )
                is_told = True
            time.sleep(_LOOK_SECONDS)
            continue
        try:
            yield file
        finally:
            os.close(file)
        return
    yield None


def lock_unfinished(finished: Path) -> int | None:
    """Return the unfinished file, open and locked; None where another process holds it."""
    partial = finished.with_suffix(UNFINISHED)
    try:
        # A group that shares the folder under its own umask may go on with one another's files.
        file = os.open(partial, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not partial.exists():
            raise
        raise cannot_use(partial, "go on with") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Renamed or removed between opening and locking: another time.
        if os.path.samestat(os.fstat(file), os.stat(partial)):
            if not finished.exists():
                return file
            partial.unlink()  # made anew after the other one had got its name
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(file)
    return None


def _decode(
    images: ImageSequence, numbers: np.ndarray, unfinished: Unfinished, show_progress: bool
) -> list[tuple[int, str]]:
    """Fill in what is missing; return place and reason of what cannot be decoded, and mark it."""
    places = unfinished.missing()

    def keep(position: int, pixels: np.ndarray) -> None:
        unfinished.write(int(places[position]), pixels)

    found = for_each_image(images, numbers[places], keep, show_progress, unfinished.header.size)
    failures = [(int(places[position]), reason) for position, reason in found]
    for place, _ in failures:
        unfinished.mark(place)
    return failures
