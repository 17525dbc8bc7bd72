"""Reads PyTorch files since version 1.6: a zip archive of one pickle and raw storages."""

import dataclasses
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.containers.source_file import SourceFile, StoredValues, wrong_checksum
from efn_compose.checkpoints.containers.torch.state_dict import unwrap
from efn_compose.checkpoints.containers.torch.torch_pickle import MAX_PICKLE_BYTES, safe_unpickle
from efn_compose.checkpoints.containers.torch.torch_tensors import (
    TensorRef,
    check_extent,
    is_whole,
    read_span,
    span_bytes,
    strided,
)
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.checkpoints.containers.zip_archive import (
    check_member,
    member_offset,
    open_zip,
)
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError

_WRONG_CHECKSUM = (
    "Fetch it again (files saved with checksums switched off must be saved again with them)."
)


def read(path: Path, *, container: str = "torch-zip", ema: bool = True) -> RawCheckpoint:
    """Read a zip `.pth`, `.pt` or `.bin`; values are read on demand.

    Raises:
        ForbiddenPickleError: The pickle asks for code, or the archive is TorchScript.
        UnsafeCheckpointError: A member is compressed, as torch never does it, or a
            tensor reaches outside its storage.
        UnreadableCheckpointError: The archive is truncated or damaged.
    """
    with open_zip(path) as archive:
        members = archive.infolist()
        root = _root(path, members)
        _check_members(path, members)
        by_key = {
            info.filename.removeprefix(f"{root}data/"): info
            for info in members
            if info.filename.startswith(f"{root}data/")
        }
        _check_byte_order(path, archive, root)
        program = archive.read(f"{root}data.pkl")
    content = safe_unpickle(io.BytesIO(program), path)

    source = SourceFile(path)
    #: Storages, shared by many tensors, whose checksum was compared.
    checked: set[str] = set()

    def load(name: str, ref: TensorRef) -> Callable[[], np.ndarray]:
        where = f"{path}: {name}"
        info = by_key.get(ref.storage.key)
        if info is None:
            raise UnreadableCheckpointError(f"{where}: its storage is not in the archive.")
        check_extent(ref, info.file_size // numpy_dtype(ref.dtype).itemsize, where)
        return _values(source, info, ref, where, checked)

    raw = unwrap(content, path, container, load, ema=ema)
    return dataclasses.replace(raw, release=source.close)


def _root(path: Path, members: list[zipfile.ZipInfo]) -> str:
    names = [info.filename for info in members]
    if any(name.split("/")[-1] == "constants.pkl" or "/code/" in name for name in names):
        raise UnsafeCheckpointError(
            f"{path}: a TorchScript archive, which holds a program; refused. Save the state_dict of "
            "the model it was made from."
        )
    pickles = [name for name in names if name.split("/")[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise UnreadableCheckpointError(f"{path}: expected one data.pkl, found {len(pickles)}.")
    return pickles[0].removesuffix("data.pkl")


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse archives that grow when read: torch stores every member as it is."""
    size = path.stat().st_size
    for info in members:
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise UnsafeCheckpointError(
                f"{path}: member {info.filename!r} is compressed ({info.compress_size} bytes to "
                f"{info.file_size}); PyTorch never compresses. Refused as a possible zip bomb."
            )
        if info.filename.endswith("data.pkl") and info.file_size > MAX_PICKLE_BYTES:
            raise UnsafeCheckpointError(f"{path}: a pickle of {info.file_size} bytes; refused.")
    names = [info.filename for info in members]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise UnreadableCheckpointError(f"{path}: member {repeated!r} is there twice.")
    if sum(info.file_size for info in members) > size:
        raise UnsafeCheckpointError(f"{path}: members overlap; refused as a possible zip bomb.")


def _check_byte_order(path: Path, archive: zipfile.ZipFile, root: str) -> None:
    try:
        order = archive.read(f"{root}byteorder")
    except KeyError:
        return
    if order != b"little":
        raise UnreadableCheckpointError(f"{path}: byte order {order!r:.20}; only little is read.")


def _values(
    source: SourceFile, info: zipfile.ZipInfo, ref: TensorRef, where: str, checked: set[str]
) -> Callable[[], np.ndarray]:
    """Return what reads a tensor; its storage is checked against the checksum in the archive."""
    dtype = numpy_dtype(ref.dtype)
    if 0 in ref.shape:
        return lambda: np.zeros(ref.shape, dtype)

    def find() -> int:
        return member_offset(source, info)

    if is_whole(ref, info.file_size):
        return StoredValues(source, find, ref.shape, dtype, info.CRC, where, _WRONG_CHECKSUM)

    def read() -> np.ndarray:
        if 2 * span_bytes(ref) <= info.file_size:
            # A slice of a storage that many tensors share: reading all of it each time is quadratic.
            if info.filename not in checked:
                check_member(source, info, where, _WRONG_CHECKSUM)
                checked.add(info.filename)
            return read_span(source, find(), ref)
        flat = source.read(find(), info.file_size, np.dtype(np.uint8))
        if zlib.crc32(flat.data) != info.CRC:
            raise wrong_checksum(where, _WRONG_CHECKSUM)
        whole = flat[: flat.size // dtype.itemsize * dtype.itemsize].view(dtype)
        return strided(whole, ref)

    return read
