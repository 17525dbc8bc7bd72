"""Images that are read from the cache when asked for, as an array would give them."""

import fcntl
import json
import os
import threading
import warnings
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.data.cache.fill import cache_key, fill
from efn_compose.data.cache.layout import (
    EMPTY,
    UNREADABLE,
    CacheFileError,
    Header,
    read_header,
    read_table,
)
from efn_compose.data.cache.order import FillOrder, ShareOut
from efn_compose.data.cache.place import (
    FINISHED,
    FOLDER_VARIABLE,
    NOTES,
    cache_folder,
    cannot_use,
)
from efn_compose.data.decoding.decode import undecodable
from efn_compose.data.table import ImageError, ImageSequence, printable
from efn_compose.errors import CacheWarning, DataError, RunError
from efn_compose.numerics.pixel_array import aligned_pixels
from efn_compose.store.atomic import write_text


class CacheFile:
    """A finished file of the cache, open for reading.

    Pixels are read from the pages that the operating system keeps of the file. These are the same
    for all processes of a machine, are not counted as any process' own, and are given up where
    memory is short. A file that was cut off meanwhile is an error here; mapped into memory it
    would end the process.

    Args:
        path: The file.
        key: What it must hold.

    Raises:
        CacheFileError: It cannot be used.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY)
        # Held as long as this object lives: who clears the cache leaves the file alone.
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self._close = weakref.finalize(self, os.close, self._file)
        try:
            self.header = read_header(self._file)
            table = read_table(self._file, self.header)
            if self.header.key != key:
                raise CacheFileError("it holds other images than its name says")
            if (table["state"] == EMPTY).any():
                raise CacheFileError("images are missing in it")
        except CacheFileError:
            self._close()
            raise
        #: CRC-32 of each image.
        self.checksums = np.array(table["crc"])
        self._is_checked = np.zeros(self.header.count, bool)
        #: Places of images that cannot be decoded.
        self.unreadable = np.flatnonzero(table["state"] == UNREADABLE)
        # Another user's file, or one on a disk that is read-only, keeps the time of its owner's use.
        with suppress(OSError):
            os.utime(path)

    def read(self, places: np.ndarray) -> np.ndarray:
        """Return images (image, size, size, 3) uint8; each is checked once per process.

        Raises:
            DataError: An image is damaged.
        """
        header, size = self.header, self.header.size
        found = aligned_pixels((len(places), size, size, 3))
        self.expect(places)
        for row, place in zip(found, places.tolist(), strict=True):
            content = row.reshape(-1).data
            if os.preadv(self._file, [content], header.image_at(place)) != len(content):
                raise self._damaged(place)
            if not self._is_checked[place]:
                if zlib.crc32(content) != self.checksums[place]:
                    raise self._damaged(place)
                self._is_checked[place] = True
        return found

    def expect(self, places: np.ndarray) -> None:
        """Let the system fetch images from the disk that are about to be read."""
        header = self.header
        for place in places.tolist():
            offset = header.image_at(place)
            os.posix_fadvise(self._file, offset, header.image_bytes, os.POSIX_FADV_WILLNEED)

    def _damaged(self, place: int) -> DataError:
        return DataError(
            f"{self.path}: image {place} is damaged. Remove the file and start again; the images "
            "are then decoded anew."
        )


_open_files: "weakref.WeakValueDictionary[str, CacheFile]" = weakref.WeakValueDictionary()
_opening = threading.Lock()


class CachedImages:
    """Some images of the cache, read when they are asked for; numbers, slices and masks work.

    Pickled, they travel without pixels. A process that gets them opens the file of its own machine;
    where there is none yet, it is filled from the source.

    Args:
        source: The images that the file is filled from.
        numbers: Those that are in the file, ascending.
        header: Of the file.
        folder: Where this process found or filled it.
        places: (image,) which images of the file these are.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        source: ImageSequence,
        numbers: np.ndarray,
        header: Header,
        folder: Path,
        places: np.ndarray,
    ) -> None:
        self._source, self._numbers, self._header = source, numbers, header
        self._folder, self._places = folder, places
        self._opened: CacheFile | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(image, size, size, 3)."""
        return len(self._places), self._header.size, self._header.size, 3

    @property
    def nbytes(self) -> int:
        """Bytes of these images decoded."""
        return len(self._places) * self._header.image_bytes

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Any, /) -> np.ndarray:
        if isinstance(key, tuple):
            return self[key[0]][(slice(None), *key[1:])] if key else self[:]
        if isinstance(key, int | np.integer):
            return self._file().read(np.array([self._places[key]]))[0]
        return self._file().read(self._places[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def expect(self, numbers: Any) -> None:
        """Let the system fetch images from the disk that are about to be read."""
        self._file().expect(self._places[numbers])

    def taken(self, numbers: np.ndarray) -> "CachedImages":
        """Return some of these images, still unread.

        Args:
            numbers: Image numbers or a mask, of these images.
        """
        places = self._places[numbers]
        return CachedImages(self._source, self._numbers, self._header, self._folder, places)

    def name_of(self, index: int) -> str:
        """Return the image's name, or its number, in the source."""
        number = int(self._numbers[self._places[index]])
        return str(getattr(self._source, "name_of", str)(number))

    def source_of(self, index: int) -> tuple[ImageSequence, int]:
        """Return the source that an image was decoded from, and its number there."""
        return self._source, int(self._numbers[self._places[index]])

    def identities(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield what each image is known by; no pixel is read."""
        for place in self._places[numbers].tolist():
            yield f"{self._header.key} {place}".encode()

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return self._header.size

    def unreadable(self) -> list[tuple[int, str]]:
        """Return number and reason of the images that cannot be decoded, where that was tolerated."""
        is_lost = np.isin(self._places, self._file().unreadable)
        return [(int(n), self._reason(int(n))) for n in np.flatnonzero(is_lost)]

    def _reason(self, index: int) -> str:
        try:
            self._source[int(self._numbers[self._places[index]])]
        except ImageError as error:
            return str(error)
        # Decoded now, but not when the file was filled: a disk that failed for a while.
        path = self._file().path
        raise DataError(
            f"{self.name_of(index)} could not be decoded when {path} was filled, and can be now. "
            "Remove that file and start again."
        )

    @property
    def checksums(self) -> np.ndarray:
        """CRC-32 of each image's pixels, (image,) uint32; no pixel is read."""
        return self._file().checksums[self._places]

    def note(self, question: str, answer: Callable[[], str]) -> str:
        """Return what is known of the file's images, worked out once and kept beside the file.

        Args:
            question: What is asked, with all that the answer depends on beside the images.
            answer: Works it out.
        """
        path = self._file().path.with_suffix(NOTES)
        try:
            notes = json.loads(path.read_text(encoding="utf-8"))
            if question in notes:
                return str(notes[question])
        except (OSError, ValueError):
            notes = {}
        found = answer()
        # Where another user keeps the cache, the answer is worked out again next time.
        with suppress(OSError, RunError):
            write_text(path, json.dumps(notes | {question: found}))
        return found

    @property
    def identity(self) -> bytes:
        """Which images these are, and in which order; no pixel is read."""
        return self._header.key.encode() + np.ascontiguousarray(self._places, "<i8").tobytes()

    def _file(self) -> CacheFile:
        if self._opened is None:
            arguments = (self._source, self._numbers, self._header, self._folder)
            self._opened = _open_or_fill(*arguments, is_elsewhere=True)
        return self._opened


def cached_images(
    images: ImageSequence,
    numbers: np.ndarray,
    size: int,
    *,
    source: str = "",
    folder: Path | None = None,
    show_progress: bool = True,
    tolerates: bool = False,
    share_out: ShareOut | None = None,
) -> CachedImages:
    """Return images at one size from this machine's cache, which is filled where it must be.

    Args:
        images: RGB uint8 images by number.
        numbers: Numbers of the wanted ones, in the wanted order.
        size: Height and width in pixels.
        source: Where the images come from, for people.
        folder: The cache's folder; the machine's by default.
        show_progress: Show a bar on a terminal when it takes more than two seconds.
        tolerates: Whether images may be among them that cannot be decoded; `unreadable` lists them,
            and they must not be read.
        share_out: Lets several machines fill their caches together, each of which decodes a share;
            None: this machine decodes.

    Raises:
        DataError: Images cannot be decoded, or the cache cannot be written.

    Example:
        >>> photos = load_table("folder:photos")  # doctest: +SKIP
        >>> cached_images(photos.images, np.arange(9), 224).shape  # doctest: +SKIP
        (9, 224, 224, 3)
    """
    stored, places = np.unique(numbers, return_inverse=True)
    key = cache_key(images, stored, size)
    header = Header(key, len(stored), size, printable(source))
    found = CachedImages(images, stored, header, folder or cache_folder(), places)
    if share_out is not None:
        share_out(FillOrder(images, stored, header, found._folder), show_progress, tolerates)
    found._opened = _open_or_fill(
        images, stored, header, found._folder, show_progress=show_progress, tolerates=tolerates
    )
    failures = [] if tolerates else found.unreadable()
    if failures:
        raise undecodable(failures, len(numbers))
    return found


def _open_or_fill(
    source: ImageSequence,
    numbers: np.ndarray,
    header: Header,
    folder: Path,
    *,
    is_elsewhere: bool = False,
    show_progress: bool = False,
    tolerates: bool = True,
) -> CacheFile:
    """Return the open file, filled where it must be; `is_elsewhere`: the key comes from another process."""
    with _opening:
        places = places_to_look(folder) if is_elsewhere else (folder,)
        for place in places:
            path = place / f"{header.key}{FINISHED}"
            known = _open_files.get(str(path))
            if known is not None and path.exists():
                return known
            opened = open_file(path, header.key)
            if opened is not None:
                return opened
        if is_elsewhere:
            folder = places[0]
            _require_same_source(source, numbers, header)
        path = fill(source, numbers, header, folder, show_progress, tolerates=tolerates)
        opened = open_file(path, header.key)
        if opened is None:
            raise cannot_use(path, "read")
        return opened


def places_to_look(folder: Path) -> tuple[Path, ...]:
    """Return where a file may lie that another process names; the first is where it is filled.

    Args:
        folder: The cache of that process. On another machine of a cluster it may mean nothing.
    """
    own = cache_folder()
    is_own = bool(os.environ.get(FOLDER_VARIABLE)) or not folder.parent.exists()
    return tuple(dict.fromkeys((own, folder) if is_own else (folder, own)))


def open_file(path: Path, key: str) -> CacheFile | None:
    """Return an open file; None where there is none, or one that has to be filled anew."""
    try:
        opened = CacheFile(path, key)
    except OSError:  # none there; or one that cannot be opened, and filling says why
        return None
    except CacheFileError as error:
        warnings.warn(
            f"{path} cannot be used: {error}. The images are decoded anew.",
            CacheWarning,
            stacklevel=5,
        )
        try:
            path.unlink(missing_ok=True)
        except OSError:
            raise cannot_use(path, "replace") from None
        return None
    _open_files[str(path)] = opened
    return opened


def _require_same_source(source: ImageSequence, numbers: np.ndarray, header: Header) -> None:
    """Raise where this machine does not see the files that the driver saw."""
    if cache_key(source, numbers, header.size) != header.key:
        import platform

        raise DataError(
            f"{platform.node()}: its cache has to be filled from {header.source or 'the source'}, "
            "but the images are not there, or are others than where the run began. Let all "
            "machines see the same folder under the same path."
        )
