"""Writes PyTorch files without torch: the pickle opcodes of a state dict, and raw storages."""

import io
import os
import pickle
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from efn_compose.errors import CheckpointError

_STORAGES = {"float32": "FloatStorage", "int64": "LongStorage", "float16": "HalfStorage"}
#: The same content gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_ROOT = "archive"

#: A tensor to write: name, shape, numpy type name.
Entry = tuple[str, tuple[int, ...], str]


def write_torch_zip(
    path: str | os.PathLike[str], entries: Iterable[Entry], values: Iterator[np.ndarray]
) -> None:
    """Write a state dict that `torch.load(weights_only=True)` reads.

    Args:
        path: File to create; the caller makes the write atomic.
        entries: Name, shape and type of each tensor.
        values: Their arrays in the same order, taken one at a time.

    Raises:
        CheckpointError: A type that torch has no storage for here.

    Example:
        >>> array = np.zeros((2, 3), np.float32)
        >>> write_torch_zip("zeros.pth", [("w", (2, 3), "float32")], iter([array]))  # doctest: +SKIP
    """
    entries = list(entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write_member(archive, "data.pkl", _pickle(entries))
        _write_member(archive, "byteorder", b"little")
        for number, (entry, array) in enumerate(zip(entries, values, strict=True)):
            data = np.ascontiguousarray(array, dtype=entry[2])
            _write_member(archive, f"data/{number}", data.reshape(-1).data.cast("B"))
        _write_member(archive, "version", b"3\n")


def _write_member(archive: zipfile.ZipFile, name: str, data: bytes | memoryview) -> None:
    info = zipfile.ZipInfo(f"{_ROOT}/{name}", _DATE)
    with archive.open(info, "w", force_zip64=len(data) > 1 << 31) as member:
        member.write(data)


def _pickle(entries: list[Entry]) -> bytes:
    """Return the pickle of an ordered dictionary of tensors over numbered storages."""
    out = io.BytesIO()
    ordered = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
    out.write(pickle.PROTO + b"\x02" + ordered + pickle.MARK)
    for number, (name, shape, dtype) in enumerate(entries):
        if dtype not in _STORAGES:
            raise CheckpointError(f"{name}: cannot write {dtype}; known: {', '.join(_STORAGES)}.")
        numel = int(np.prod(shape, dtype=np.int64))
        strides = np.cumprod([1, *shape[::-1]], dtype=np.int64)[-2::-1] if shape else ()
        out.write(_text(name) + _global("torch._utils", "_rebuild_tensor_v2") + pickle.MARK)
        out.write(pickle.MARK + _text("storage") + _global("torch", _STORAGES[dtype]))
        out.write(_text(str(number)) + _text("cpu") + _integer(numel))
        out.write(pickle.TUPLE + pickle.BINPERSID + _integer(0))
        out.write(_integers(shape) + _integers(strides))
        out.write(pickle.NEWFALSE + ordered + pickle.TUPLE + pickle.REDUCE)
    out.write(pickle.SETITEMS + pickle.STOP)
    return out.getvalue()


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + len(data).to_bytes(4, "little") + data


def _integer(value: int) -> bytes:
    if value < 1 << 31:
        return pickle.BININT + int(value).to_bytes(4, "little")
    data = int(value).to_bytes(9, "little")
    return pickle.LONG1 + bytes([len(data)]) + data


def _integers(values: Iterable[int]) -> bytes:
    return pickle.MARK + b"".join(_integer(int(value)) for value in values) + pickle.TUPLE


def byte_count(entries: Iterable[Entry]) -> int:
    """Return the bytes of all tensors together.

    Example:
        >>> byte_count([("w", (2, 3), "float32")])
        24
    """
    return sum(
        int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        for _, shape, dtype in entries
    )


def is_torch_path(path: Path) -> bool:
    """Return whether a file name is one that PyTorch users expect to hold a state dict."""
    return path.suffix in (".pth", ".pt", ".bin")
