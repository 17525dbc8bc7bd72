"""Reads the weights inside a `.keras` archive: three members by exact name, nothing extracted."""

import dataclasses
import io
import os
import zipfile
from pathlib import Path
from typing import Any

from efn_compose.checkpoints.containers.keras.hdf5_source import Hdf5Source
from efn_compose.checkpoints.containers.keras.keras_h5 import parse_config, read_hdf5
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.containers.source_file import SourceFile
from efn_compose.checkpoints.containers.zip_archive import (
    check_member,
    member_offset,
    open_zip,
)
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError

CONFIG_MEMBER = "config.json"
METADATA_MEMBER = "metadata.json"
WEIGHTS_MEMBER = "model.weights.h5"

#: Largest configuration that is read; the one of EfficientNet-L2 has 2 MB.
MAX_JSON_BYTES = 64 << 20
#: Float weights hardly compress; Keras stores them as they are.
MAX_DEFLATE_RATIO = 20
#: Smaller members are read at any ratio: an HDF5 file of tiny tensors is mostly zeros.
ALWAYS_ALLOWED_BYTES = 8 << 20


def read(path: str | os.PathLike[str], *, container: str = "", ema: bool = True) -> RawCheckpoint:
    """Read the tensors of a `.keras` archive that Keras 3 or tf-keras wrote.

    Args:
        path: The archive.
        container: The container that the caller recognised; only "keras-zip" comes here.
        ema: Without effect: Keras files hold one set of weights.

    Returns:
        Names, shapes and types at once, values on demand. `metadata` holds
        "keras_version" and "model_config" (parsed JSON, never executed).

    Raises:
        UnreadableCheckpointError: Not a zip, truncated, or a member is missing.
        UnsafeCheckpointError: A member has an absolute or parent path, inflates
            beyond reason, or the configuration holds a Lambda layer.

    Example:
        >>> read("model.keras").container  # doctest: +SKIP
        'keras-zip'
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableCheckpointError(f"{path}: no such file.")
    with open_zip(path) as archive:
        _check_members(archive, path)
        config = parse_config(_read_json(archive, CONFIG_MEMBER, path), f"{path}")
        about = parse_config(_read_json(archive, METADATA_MEMBER, path), f"{path}")
        weights = _weights(archive, path)
    raw = read_hdf5(weights, path, "keras-zip", config)
    if "keras_version" not in about:
        return raw
    metadata = {**raw.metadata, "keras_version": str(about["keras_version"])}
    return dataclasses.replace(raw, metadata=metadata)


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive whose members point outside it, repeat, or are missing."""
    names = archive.namelist()
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise UnsafeCheckpointError(
                f"{path}: member {name!r} points outside the archive; refused."
            )
    for name in (CONFIG_MEMBER, METADATA_MEMBER, WEIGHTS_MEMBER):
        if names.count(name) != 1:
            raise UnreadableCheckpointError(
                f"{path}: a .keras archive holds {name!r} once; found {names.count(name)} times. "
                f"Members: {', '.join(names[:8])}."
            )


def _check_size(member: zipfile.ZipInfo, limit: int | None, path: Path) -> None:
    ratio = member.file_size / max(member.compress_size, 1)
    too_dense = ratio > MAX_DEFLATE_RATIO and member.file_size > ALWAYS_ALLOWED_BYTES
    if too_dense or (limit is not None and member.file_size > limit):
        raise UnsafeCheckpointError(
            f"{path}: member {member.filename!r} declares {member.file_size} bytes from "
            f"{member.compress_size} stored; refused."
        )


def _read_json(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    member = archive.getinfo(name)
    _check_size(member, MAX_JSON_BYTES, path)
    return archive.read(member)


def _weights(archive: zipfile.ZipFile, path: Path) -> Hdf5Source:
    """Return the weights member, its checksum compared: a window where it is stored, else inflated."""
    member = archive.getinfo(WEIGHTS_MEMBER)
    _check_size(member, None, path)
    where = f"{path}:{WEIGHTS_MEMBER}"
    if member.compress_type != zipfile.ZIP_STORED:
        content = archive.read(member)
        return Hdf5Source(lambda: _NamedBytes(content, where))
    source = SourceFile(path)
    try:
        check_member(source, member, where)
        offset = member_offset(source, member)
    finally:
        source.close()
    return Hdf5Source(
        lambda: StoredMember(path, WEIGHTS_MEMBER, offset, member.file_size), source, offset
    )


class _NamedBytes(io.BytesIO):
    """Bytes that h5py's messages call by the member's name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self._name = name

    def __repr__(self) -> str:
        return self._name


class StoredMember(io.RawIOBase):
    """A read-only, seekable window on the bytes of an uncompressed zip member.

    Args:
        path: The archive.
        name: The member, for messages.
        offset: Where its bytes begin in the archive.
        size: How many there are.
    """

    def __init__(self, path: Path, name: str, offset: int, size: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._name = f"{path}:{name}"
        self._offset = offset
        self._size = size
        self._position = 0

    def __repr__(self) -> str:
        return self._name

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in the member."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position in the member and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on; return the number of bytes read."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        self._file.seek(self._offset + self._position)
        read = self._file.readinto(view[:count])
        self._position += read
        return read

    def close(self) -> None:
        """Close the archive's file."""
        self._file.close()
        super().close()
