"""What a file of the cache looks like: a header, a checksum per image, then the pixels."""

import json
import os
import struct
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from efn_compose.errors import DataError

#: The line end shows a file that passed through a text mode.
_MAGIC = b"EFNIMG\r\n"
VERSION = 1
#: Bytes of a disk's block: header, table and pixels begin at one.
_BLOCK = 4096
_FIRST = struct.Struct("<8sIII")
#: How pixels are made; another rule is another file.
RULE = "RGB, Pillow bilinear with antialiasing, aspect ratio not kept"
#: An image's line in the table: CRC-32 of its pixels, and its state.
_LINE = np.dtype([("crc", "<u4"), ("state", "<u4")])
#: States: not there yet, there, cannot be decoded.
EMPTY, WHOLE, UNREADABLE = 0, 1, 2


class CacheFileError(DataError):
    """A file of the cache cannot be used; the message says why."""


@dataclass(frozen=True)
class Header:
    """What a file of the cache holds.

    Args:
        key: Of the source's images, their size and the rule, as hexadecimal digits.
        count: Number of images.
        size: Height and width in pixels.
        source: Where the images came from, for people.
        rule: How their pixels were made.
    """

    key: str
    count: int
    size: int
    source: str
    rule: str = RULE

    @property
    def image_bytes(self) -> int:
        """Bytes of an image."""
        return self.size * self.size * 3

    @property
    def table_at(self) -> int:
        """Where the table of checksums begins."""
        return _BLOCK

    @property
    def pixels_at(self) -> int:
        """Where the pixels begin."""
        return self.table_at + -(-self.count * _LINE.itemsize // _BLOCK) * _BLOCK

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.pixels_at + self.count * self.image_bytes

    def line_at(self, place: int) -> int:
        """Return where an image's line of the table is, in bytes from the file's start."""
        return self.table_at + place * _LINE.itemsize

    def image_at(self, place: int) -> int:
        """Return where an image's pixels begin, in bytes from the file's start."""
        return self.pixels_at + place * self.image_bytes

    def to_bytes(self) -> bytes:
        """Return the first block of the file."""
        text = json.dumps(asdict(self) | {"source": self.source[:1000]}).encode()
        return (_FIRST.pack(_MAGIC, VERSION, len(text), zlib.crc32(text)) + text).ljust(
            _BLOCK, b"\0"
        )


def read_header(file: int) -> Header:
    """Return the header of an open file.

    Raises:
        CacheFileError: Not a file of this cache, of another version, damaged, or shorter or longer
            than its header says.
    """
    block = os.pread(file, _BLOCK, 0)
    if len(block) < _BLOCK or not block.startswith(_MAGIC):
        raise CacheFileError("it is no file of this cache")
    _, version, length, crc = _FIRST.unpack_from(block)
    if version != VERSION:
        raise CacheFileError(f"it has version {version}, this program writes {VERSION}")
    text = block[_FIRST.size : _FIRST.size + length]
    if zlib.crc32(text) != crc:
        raise CacheFileError("its header is damaged")
    header = Header(**json.loads(text))
    found = os.fstat(file).st_size
    if found != header.file_bytes:
        raise CacheFileError(f"it has {found:,} bytes instead of {header.file_bytes:,}")
    return header


def read_table(file: int, header: Header) -> np.ndarray:
    """Return "crc" and "state" (image,) of an open file."""
    content = os.pread(file, header.count * _LINE.itemsize, header.table_at)
    return np.frombuffer(content, _LINE)


def write_image(file: int, header: Header, place: int, pixels: np.ndarray) -> None:
    """Write an image (size, size, 3) uint8, then its line: a kill between them leaves no line."""
    content = np.ascontiguousarray(pixels).data.cast("B")
    _write_all(file, content, header.image_at(place))
    write_line(file, header, place, zlib.crc32(content), WHOLE)


def write_line(file: int, header: Header, place: int, crc: int, state: int) -> None:
    """Write an image's line of the table."""
    line = np.array([(crc, state)], _LINE)
    _write_all(file, line.tobytes(), header.line_at(place))


def _write_all(file: int, content: bytes | memoryview, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
