"""Members of zip archives, also where they are read past `zipfile`: places, checksums, clear errors."""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from efn_compose.checkpoints.containers.source_file import (
    FETCH_AGAIN,
    SourceFile,
    wrong_checksum,
)
from efn_compose.errors import UnreadableCheckpointError

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_IS_UTF8 = 0x800
_BLOCK_BYTES = 1 << 20
#: The record at an archive's end, with the longest comment.
_LONGEST_END = 22 + 0xFFFF


@contextmanager
def open_zip(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Open an archive; what `zipfile` raises on a damaged one becomes `UnreadableCheckpointError`.

    A flipped byte in the directory makes it seek to places that do not exist, meet methods of
    compression that nobody has, names that are no text, or an entry that swallows the next ones.

    Args:
        path: The archive.

    Raises:
        UnreadableCheckpointError: It is damaged, seen here or by who reads a member inside `with`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_directory(archive)
            yield archive
    except (
        zipfile.BadZipFile, OSError, ValueError, EOFError, LookupError, RuntimeError, zlib.error,
        struct.error, OverflowError,
    ) as error:  # fmt: skip
        raise UnreadableCheckpointError(
            f"{path}: a damaged or truncated zip archive ({error}). Fetch or write it again."
        ) from None


def _check_directory(archive: zipfile.ZipFile) -> None:
    """Raise where the directory does not list as many members as its end says."""
    file: Any = archive.fp
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _LONGEST_END))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    stated = int.from_bytes(tail[place + 10 : place + 12], "little")
    # More members than that are counted elsewhere.
    if stated not in (len(archive.namelist()), 0xFFFF):
        found = len(archive.namelist())
        raise zipfile.BadZipFile(f"its directory has {found} members instead of {stated}")


def member_offset(source: SourceFile, member: zipfile.ZipInfo) -> int:
    """Return the byte where a member begins: after its local header, name and extra field.

    Raises:
        UnreadableCheckpointError: There is no header, or one of another member.
    """
    encoding = "utf-8" if member.flag_bits & _IS_UTF8 else "cp437"
    name = member.orig_filename.encode(encoding)
    size = _LOCAL_HEADER.size + len(name)
    header = source.read_bytes(member.header_offset, size)
    if header[:4] != b"PK\x03\x04" or header[_LOCAL_HEADER.size :] != name:
        raise UnreadableCheckpointError(
            f"{source.path}: damaged member {member.filename!r}. {FETCH_AGAIN}"
        )
    name_length: int
    extra_length: int
    name_length, extra_length = _LOCAL_HEADER.unpack_from(header)[-2:]
    return member.header_offset + _LOCAL_HEADER.size + name_length + extra_length


def check_member(
    source: SourceFile, member: zipfile.ZipInfo, where: str, step: str = FETCH_AGAIN
) -> None:
    """Compare a stored member, which is not compressed, with its checksum in the archive.

    Args:
        source: The archive.
        member: The member.
        where: What the message calls it.
        step: What to do where it is damaged.

    Raises:
        UnreadableCheckpointError: The checksum is wrong, or the archive ends before.
    """
    position, crc = member_offset(source, member), 0
    end = position + member.file_size
    while position < end:
        block = source.read_bytes(position, min(_BLOCK_BYTES, end - position))
        if not block:
            raise UnreadableCheckpointError(f"{where}: ends beyond the archive. {step}")
        crc = zlib.crc32(block, crc)
        position += len(block)
    if crc != member.CRC:
        raise wrong_checksum(where, step)
