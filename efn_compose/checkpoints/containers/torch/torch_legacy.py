"""Reads PyTorch files of before version 1.6: five pickles, then the storages one after another."""

import dataclasses
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.containers.source_file import SourceFile, StoredValues
from efn_compose.checkpoints.containers.torch.state_dict import unwrap
from efn_compose.checkpoints.containers.torch.torch_globals import storage_from_id
from efn_compose.checkpoints.containers.torch.torch_pickle import safe_unpickle
from efn_compose.checkpoints.containers.torch.torch_tensors import (
    StorageRef,
    TensorRef,
    check_extent,
    is_row_major,
    read_span,
)
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C


def read(path: Path, *, container: str = "torch-legacy", ema: bool = True) -> RawCheckpoint:
    """Read a legacy `.pth`; values are read on demand.

    Raises:
        ForbiddenPickleError: The pickle asks for code; every global is named.
        UnsafeCheckpointError: A tensor reaches outside its storage.
        UnreadableCheckpointError: The file is truncated or damaged.
    """
    storages: dict[str, StorageRef] = {}

    def load_storage(saved_id: object) -> StorageRef:
        storage = storage_from_id(saved_id)
        storages.setdefault(storage.key, storage)
        return storage

    with path.open("rb") as file:
        magic, protocol, system = (safe_unpickle(file, path) for _ in range(3))
        if magic != _MAGIC or protocol != 1001:
            raise UnreadableCheckpointError(f"{path}: not a PyTorch file (magic {magic!r:.40}).")
        if not isinstance(system, dict) or not system.get("little_endian", True):
            raise UnreadableCheckpointError(f"{path}: written on a big-endian machine; refused.")
        content = safe_unpickle(file, path, load_storage)
        keys = safe_unpickle(file, path)
        offsets = _storage_offsets(file, path, keys, storages)

    source = SourceFile(path)

    def load(name: str, ref: TensorRef) -> Callable[[], np.ndarray]:
        where = f"{path}: {name}"
        if ref.storage.key not in offsets:
            raise UnreadableCheckpointError(f"{where}: its storage is not in the file.")
        check_extent(ref, storages[ref.storage.key].numel, where)
        return _values(source, offsets[ref.storage.key], ref)

    raw = unwrap(content, path, container, load, ema=ema)
    return dataclasses.replace(raw, release=source.close)


def _storage_offsets(
    file: BinaryIO, path: Path, keys: object, storages: dict[str, StorageRef]
) -> dict[str, int]:
    """Return where each storage's values begin; the sizes must add up to the file."""
    if not isinstance(keys, list):
        raise UnreadableCheckpointError(f"{path}: no list of storages.")
    size = os.fstat(file.fileno()).st_size
    offsets = {}
    for key in map(str, keys):
        storage = storages.get(key)
        if storage is None or storage.dtype is None:
            raise UnreadableCheckpointError(f"{path}: storage {key!r} belongs to no tensor.")
        header = file.read(8)
        stored = int.from_bytes(header, "little") if len(header) == 8 else -1
        if stored != storage.numel:
            raise UnsafeCheckpointError(
                f"{path}: storage {key!r} declares {storage.numel} elements but holds {stored}; "
                "the file is truncated or forged."
            )
        offsets[key] = file.tell()
        length = stored * numpy_dtype(storage.dtype).itemsize
        if offsets[key] + length > size:
            raise UnreadableCheckpointError(
                f"{path}: truncated: storage {key!r} ends at byte {offsets[key] + length}, the file "
                f"at {size}. Fetch it again."
            )
        file.seek(length, io.SEEK_CUR)
    return offsets


def _values(source: SourceFile, start: int, ref: TensorRef) -> Callable[[], np.ndarray]:
    """Return what reads only the part of the storage that the tensor spans."""
    dtype = numpy_dtype(ref.dtype)
    if 0 in ref.shape:
        return lambda: np.zeros(ref.shape, dtype)
    if is_row_major(ref):
        begin = start + ref.offset * dtype.itemsize
        return StoredValues(source, lambda: begin, ref.shape, dtype)
    return lambda: read_span(source, start, ref)
