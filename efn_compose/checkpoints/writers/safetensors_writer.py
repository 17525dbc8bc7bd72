"""Writes safetensors files, tensor by tensor."""

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from efn_compose.checkpoints.containers.safetensors import CHECKSUMS_KEY, DTYPES
from efn_compose.checkpoints.writers.torch_writer import Entry

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_safetensors(
    path: str | os.PathLike[str],
    entries: Iterable[Entry],
    values: Iterator[np.ndarray],
    metadata: Mapping[str, str],
) -> None:
    """Write tensors with a header and checksums; offsets are known before any value is taken.

    Args:
        path: File to create; the caller makes the write atomic.
        entries: Name, shape and type of each tensor.
        values: Their arrays in the same order, taken one at a time.
        metadata: Text by key, for the header.

    Example:
        >>> array = np.zeros((2, 3), np.float32)
        >>> entries = [("w", (2, 3), "float32")]
        >>> write_safetensors("zeros.safetensors", entries, iter([array]), {})  # doctest: +SKIP
    """
    entries = list(entries)
    # Checksums are known last, and take as much room as noughts.
    blank = b"0" * (8 * (len(entries) + 1))
    header: dict[str, object] = {
        "__metadata__": {**metadata, CHECKSUMS_KEY: blank.decode()},
    }
    position = 0
    for name, shape, dtype in entries:
        end = position + int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    checksums = [zlib.crc32(text)]
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (_, shape, dtype), array in zip(entries, values, strict=True):
            stored = np.ascontiguousarray(array, dtype=dtype).reshape(shape)
            checksums.append(zlib.crc32(stored.reshape(-1).view(np.uint8).data))
            stored.tofile(file)
        place = text.index(b'"' + CHECKSUMS_KEY.encode() + b'": "' + blank) + len(CHECKSUMS_KEY) + 5
        file.seek(8 + place)
        file.write("".join(f"{crc:08x}" for crc in checksums).encode())
