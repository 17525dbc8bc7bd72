"""Texts of an HDF5 file lie in heaps, and the library never returns from one that is damaged.

An attribute of variable length, as Keras' configuration and our header, is read from a collection of
objects that follow one another. Where the size of one is nought, libhdf5 goes from it to itself for
ever. So collections are walked here before the first such attribute is read.
"""

import struct
from collections.abc import Iterable
from typing import Any

from efn_compose.checkpoints.containers.source_file import FETCH_AGAIN, SourceFile
from efn_compose.errors import UnreadableCheckpointError

#: How a collection begins: its name, the version, three bytes without use.
_COLLECTION = b"GCOL\x01\0\0\0"
_SIZE = struct.Struct("<Q")
#: How an object in it begins: its number (0: room that is left), references, its bytes.
_OBJECT = struct.Struct("<HHIQ")


def check_heaps(
    source: SourceFile, size: int, datasets: Iterable[tuple[int, int]], begin: int = 0
) -> None:
    """Raise where a collection of texts is damaged so that libhdf5 would not return.

    Args:
        source: The file.
        size: Bytes of the HDF5 file.
        datasets: Where values lie, (first byte, number of bytes); there are no collections.
        begin: Where the HDF5 file begins in `source`.

    Raises:
        UnreadableCheckpointError: An object has no size, or ends beyond its collection.
    """
    end = 0
    for first, length in sorted((*datasets, (size, 0))):
        if first > end:
            _check_part(source, source.read_bytes(begin + end, min(first, size) - end))
        end = max(end, first + length)


def dataset_places(file: Any) -> list[tuple[int, int]]:
    """Return where the values of all contiguous datasets of an open file lie, reading none."""
    from h5py import h5d, h5o

    places: list[tuple[int, int]] = []

    def visit(name: bytes) -> None:
        node = h5o.open(file.id, name)
        if isinstance(node, h5d.DatasetID):
            offset = node.get_offset()
            if offset is not None:
                places.append((offset, node.get_storage_size()))

    h5o.visit(file.id, visit)
    return places


def _check_part(source: SourceFile, content: bytes) -> None:
    place = content.find(_COLLECTION)
    while place >= 0:
        start = place + len(_COLLECTION)
        if len(content) >= start + _SIZE.size:
            end = place + _SIZE.unpack_from(content, start)[0]
            if not _is_whole(content, start + _SIZE.size, min(end, len(content))):
                raise UnreadableCheckpointError(
                    f"{source.path}: damaged: its texts have no end. {FETCH_AGAIN}"
                )
        place = content.find(_COLLECTION, place + 1)


def _is_whole(content: bytes, place: int, end: int) -> bool:
    while place + _OBJECT.size <= end:
        number, _, _, size = _OBJECT.unpack_from(content, place)
        needed = _OBJECT.size + -(-size // 8) * 8 if number else size
        if not needed or place + needed > end:
            return False
        place += needed
    return True
