"""Reads safetensors files: a JSON header of names, types and offsets, then raw values."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.containers.source_file import (
    FETCH_AGAIN,
    SourceFile,
    StoredValues,
    wrong_checksum,
)
from efn_compose.checkpoints.containers.torch.state_dict import config_beside, strip_prefixes
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.errors import (
    UnreadableCheckpointError,
    UnsafeCheckpointError,
    describe_problems,
)

MAX_HEADER_BYTES = 100 << 20
#: Our key in the metadata for CRC-32 of header and tensors; other readers pass it over.
CHECKSUMS_KEY = "efn_compose_crc32"
_DIGITS = frozenset("0123456789abcdef")

#: Name of the numpy type behind each safetensors type.
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def read(path: Path, *, container: str = "safetensors", ema: bool = True) -> RawCheckpoint:
    """Read a safetensors file; values are read on demand.

    Raises:
        UnsafeCheckpointError: The header is out of proportion, or tensors overlap,
            leave gaps, or reach outside the file; all are listed.
        UnreadableCheckpointError: The file is truncated or damaged.
    """
    header, start, text = _header(path)
    stated = header.pop("__metadata__", None) or {}
    if not isinstance(stated, dict):
        raise UnreadableCheckpointError(f"{path}: its metadata is no JSON object.")
    metadata: dict[str, Any] = dict(stated)
    checksums = _checksums(path, metadata.pop(CHECKSUMS_KEY, None), text, list(header))
    problems: list[str] = []
    entries = []
    for name, entry in header.items():
        try:
            dtype = DTYPES[entry["dtype"]]
            shape = tuple(entry["shape"])
            begin, end = entry["data_offsets"]
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{name}: not a tensor record this version reads ({error!r})")
            continue
        if not all(type(value) is int and value >= 0 for value in (*shape, begin, end)):
            problems.append(f"{name}: shape {shape} and offsets {begin}, {end} are no counts")
            continue
        needed = numpy_dtype(dtype).itemsize
        for length in shape:
            needed *= length
        if end - begin != needed:
            problems.append(f"{name}: {shape} {dtype} needs {needed} bytes, stores {end - begin}")
        entries.append((begin, end, name, dtype, shape))
    _check_layout(path, entries, start, problems)
    notes: list[str] = []
    names = strip_prefixes([name for _, _, name, _, _ in entries], notes)
    file = SourceFile(path)
    tensors = {
        new: RawTensor(
            new,
            shape,
            dtype,
            _values(file, start + begin, dtype, shape, checksums.get(name), f"{path}: {new}"),
        )
        for new, (begin, _, name, dtype, shape) in zip(names, entries, strict=True)
    }
    metadata |= config_beside(path, notes)
    return RawCheckpoint(path, container, tensors, metadata, tuple(notes), release=file.close)


def _checksums(path: Path, digits: object, text: bytes, names: list[str]) -> dict[str, int]:
    """Return checksums by tensor, of a file that has them; the header's own is compared here.

    Args:
        path: The file, for messages.
        digits: Eight hexadecimal digits for the header, with noughts in place of all digits, and
            for every tensor in the header's order; None where the file has none.
        text: The header.
        names: Its tensors in order.

    Raises:
        UnreadableCheckpointError: The header's checksum is wrong, or they are not as many.
    """
    if digits is None:
        return {}
    stated = str(digits)
    if len(stated) != 8 * (len(names) + 1) or not set(stated) <= _DIGITS:
        raise UnreadableCheckpointError(f"{path}: damaged checksums. {FETCH_AGAIN}")
    blank = text.replace(stated.encode(), b"0" * len(stated), 1)
    whole, *others = (int(stated[n : n + 8], 16) for n in range(0, len(stated), 8))
    if zlib.crc32(blank) != whole:
        raise wrong_checksum(f"{path}: header")
    return dict(zip(names, others, strict=True))


def _header(path: Path) -> tuple[dict[str, Any], int, bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise UnsafeCheckpointError(f"{path}: a header of {length} bytes; refused.")
        if 8 + length > size:
            raise UnreadableCheckpointError(
                f"{path}: truncated: the header alone needs {8 + length} bytes, the file has {size}."
            )
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableCheckpointError(f"{path}: a damaged header ({error}).") from None
    if not isinstance(header, dict):
        raise UnreadableCheckpointError(f"{path}: the header is no JSON object.")
    return header, 8 + length, text


def _check_layout(
    path: Path, entries: list[tuple[int, int, str, str, Any]], start: int, problems: list[str]
) -> None:
    """Values must fill the rest of the file once, without overlap or gap."""
    position = 0
    for begin, end, name, _, _ in sorted(entries, key=lambda entry: entry[:2]):
        if begin != position:
            kind = "overlaps the tensor before it" if begin < position else "leaves a gap before it"
            problems.append(f"{name}: {kind} (begins at {begin}, expected {position})")
        position = max(position, end)
    stored = path.stat().st_size - start
    if position > stored:
        problems.append(f"values end at byte {position}, but only {stored} are stored: truncated")
    elif position < stored:
        problems.append(f"{stored - position} bytes after the last tensor")
    if problems:
        raise UnsafeCheckpointError(
            describe_problems(
                f"{path}: the header does not fit the file.",
                problems,
                "Nothing was read. Fetch the file again.",
            )
        )


def _values(
    file: SourceFile,
    offset: int,
    dtype: str,
    shape: tuple[int, ...],
    crc: int | None,
    where: str,
) -> Callable[[], np.ndarray]:
    if 0 in shape:
        return lambda: np.zeros(shape, numpy_dtype(dtype))
    return StoredValues(file, lambda: offset, shape, numpy_dtype(dtype), crc, where)
