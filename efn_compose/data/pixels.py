"""Images of one size, in memory or in the cache, used alike."""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from efn_compose.data.cache.images import CachedImages
from efn_compose.numerics.pixel_array import PixelArray, aligned_pixels, in_parts


def take(images: PixelArray, numbers: Any) -> PixelArray:
    """Return some images: a copy of those in memory, those of the cache still unread.

    Args:
        images: Images of one size.
        numbers: Image numbers, a mask or a slice.

    Example:
        >>> take(np.zeros((4, 8, 8, 3), np.uint8), np.array([2, 2])).shape
        (2, 8, 8, 3)
    """
    if isinstance(images, CachedImages | JoinedImages):
        return images.taken(numbers)
    return images[numbers]


def expect(images: PixelArray, numbers: np.ndarray) -> None:
    """Say which images are about to be read; those of the cache are fetched from the disk meanwhile."""
    if isinstance(images, CachedImages | JoinedImages):
        images.expect(numbers)


def join(parts: Sequence[PixelArray]) -> PixelArray:
    """Return images one after the other; where some are in the cache, all stay unread.

    Example:
        >>> join([np.zeros((1, 8, 8, 3), np.uint8), np.ones((2, 8, 8, 3), np.uint8)])[2].max()
        np.uint8(1)
    """
    if any(isinstance(part, CachedImages | JoinedImages) for part in parts):
        return JoinedImages(parts)
    return np.concatenate([part[:] for part in parts])


class JoinedImages:
    """Images of several places, read when they are asked for.

    Args:
        parts: Images of one size, each.
        places: (image,) which of all these; None: all.
    """

    def __init__(self, parts: Sequence[PixelArray], places: np.ndarray | None = None) -> None:
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self._places = np.arange(self._starts[-1]) if places is None else places

    @property
    def shape(self) -> tuple[int, ...]:
        """(image, side, side, 3)."""
        return len(self._places), *self._parts[0].shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8."""
        return self._parts[0].dtype

    @property
    def ndim(self) -> int:
        """4."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Any, /) -> np.ndarray:
        places = np.atleast_1d(self._places[key])
        found = aligned_pixels((len(places), *self.shape[1:]))
        for part, (rows, numbers) in self._by_part(places):
            found[rows] = self._parts[part][numbers]
        return found if np.ndim(self._places[key]) else found[0]

    def _by_part(self, places: np.ndarray) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
        """Yield each part with the rows of `places` that lie in it, and their numbers there."""
        part_of = np.searchsorted(self._starts, places, side="right") - 1
        for part in np.unique(part_of).tolist():
            rows = np.flatnonzero(part_of == part)
            yield part, (rows, places[rows] - self._starts[part])

    def expect(self, numbers: Any) -> None:
        """Let the system fetch images from the disk that are about to be read."""
        for part, rows in self._by_part(np.atleast_1d(self._places[numbers])):
            expect(self._parts[part], rows[1])

    def taken(self, numbers: Any) -> "JoinedImages":
        """Return some of these images, still unread."""
        return JoinedImages(self._parts, self._places[numbers])


def once_if_cached(parts: Sequence[PixelArray], question: str, answer: Callable[[], str]) -> str:
    """Return an answer; where all images are in the cache, it is worked out once and kept there.

    Args:
        parts: What the answer is about.
        question: What is asked: all that the answer depends on beside these images.
        answer: Works it out.
    """
    cached = [part for part in parts if isinstance(part, CachedImages)]
    if len(cached) < len(parts):
        return answer()
    asked = hashlib.sha256(question.encode())
    for part in cached:
        asked.update(part.identity)
    return cached[0].note(asked.hexdigest(), answer)


def crc_of(images: PixelArray, crc: int = 0) -> int:
    """Return the CRC-32 of all images' bytes in order; of cached ones without reading them.

    Args:
        images: Images of one size.
        crc: Of what came before.

    Example:
        >>> crc_of(np.zeros((2, 1, 1, 3), np.uint8)) == zlib.crc32(bytes(6))
        True
    """
    if not isinstance(images, CachedImages):
        for part in in_parts(images):
            crc = zlib.crc32(np.ascontiguousarray(part).data, crc)
        return crc
    tables = _shift_tables(int(np.prod(images.shape[1:])))
    for checksum in images.checksums.tolist():
        shifted = (
            tables[0][crc & 255]
            ^ tables[1][crc >> 8 & 255]
            ^ tables[2][crc >> 16 & 255]
            ^ tables[3][crc >> 24]
        )
        crc = shifted ^ checksum
    return crc


def _shift_tables(length: int) -> list[list[int]]:
    """Return, by byte of a CRC-32, what so many zero bytes after it make of it.

    A CRC is linear over the bits, so that the CRC of two texts is that of the first, carried
    over the length of the second, xor that of the second.
    """
    # Column n: what one zero bit makes of bit n. The polynomial is that of zlib.
    columns = [0xEDB88320, *(1 << bit for bit in range(31))]
    shift, bits = [1 << bit for bit in range(32)], 8 * length
    while bits:
        if bits & 1:
            shift = [_apply(columns, column) for column in shift]
        columns = [_apply(columns, column) for column in columns]
        bits >>= 1
    return [[_apply(shift, byte << 8 * place) for byte in range(256)] for place in range(4)]


def _apply(columns: list[int], value: int) -> int:
    found = 0
    for bit in range(32):
        if value >> bit & 1:
            found ^= columns[bit]
    return found
