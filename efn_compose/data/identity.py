"""What an image is known by without decoding it.

By its place, so that a cache notices when a source changes; or wherever it lies, so that a network's
training images are known again in another run.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np

#: Pieces of a file that a mark is of, and bytes of each: enough to tell pictures apart, few enough to be
#: quick. Pieces of all parts, since pictures without compression may be blank in one of them.
_PIECES, _PIECE = 8, 512


class _Images(Protocol):
    """Images by number; `efn_compose.data.table` has more to say of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@runtime_checkable
class Identified(Protocol):
    """Images that know what they are without being decoded."""

    def identities(self, numbers: np.ndarray) -> Iterable[bytes]:
        """Yield what each image is known by: other bytes, other pixels."""
        ...


@runtime_checkable
class Encoded(Protocol):
    """Images that lie in files as bytes."""

    def samples(self, numbers: np.ndarray) -> Iterable[bytes]:
        """Yield some bytes of each image: what it is, wherever its file lies."""
        ...


def identities(images: _Images, numbers: np.ndarray) -> Iterator[bytes]:
    """Yield what each image is known by: its file's place, size and time, or else its pixels.

    Args:
        images: Images by number.
        numbers: The wanted ones.

    Example:
        >>> same = identities(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2))
        >>> len(set(same))
        1
    """
    if isinstance(images, Identified):
        yield from images.identities(numbers)
        return
    for number in numbers:
        pixels = np.ascontiguousarray(images[int(number)])
        yield hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()


def file_identity(path: str | os.PathLike[str]) -> bytes:
    """Return what a file is known by: its place, size and time of change.

    Example:
        >>> file_identity("nowhere").endswith(b"missing")
        True
    """
    place = os.fsencode(os.path.abspath(path))
    try:
        status = os.stat(path)
    except OSError:
        return place + b"\0missing"
    return place + f"\0{status.st_size}\0{status.st_mtime_ns}".encode()


def image_marks(images: _Images) -> np.ndarray:
    """Return a mark of each image (image,) uint64: equal images have equal ones, wherever they lie.

    Of an image in a file the mark is of its length and of 4 KB from all parts, of any other of its pixels.

    Args:
        images: Images by number.

    Example:
        >>> found = image_marks(np.zeros((2, 4, 4, 3), np.uint8))
        >>> found.dtype.name, bool(found[0] == found[1])
        ('uint64', True)
    """
    known_by = samples(images, np.arange(len(images)))
    digests = b"".join(hashlib.sha256(some).digest()[:8] for some in known_by)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def samples(images: _Images, numbers: np.ndarray) -> Iterable[bytes]:
    """Return some bytes of each image, or else what its pixels are known by.

    Args:
        images: Images by number.
        numbers: The wanted ones.

    Example:
        >>> len(list(samples(np.zeros((2, 4, 4, 3), np.uint8), np.arange(2))))
        2
    """
    if isinstance(images, Encoded):
        return images.samples(numbers)
    return identities(images, numbers)


def file_sample(path: str | os.PathLike[str], start: int = 0, length: int | None = None) -> bytes:
    """Return the length of a file, or of a part of it, and 4 KB from its beginning to its end.

    Args:
        path: The file.
        start: First byte of the part.
        length: Bytes of the part; None: all of the file.

    Example:
        >>> file_sample("nowhere")
        b'missing'
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b"missing"
    try:
        whole = os.fstat(file).st_size if length is None else length
        if whole <= _PIECES * _PIECE:
            return f"{whole}\0".encode() + os.pread(file, whole, start)
        places = [start + n * (whole - _PIECE) // (_PIECES - 1) for n in range(_PIECES)]
        return b"".join([f"{whole}\0".encode(), *(os.pread(file, _PIECE, at) for at in places)])
    finally:
        os.close(file)
