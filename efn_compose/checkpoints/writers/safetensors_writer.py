"""Writes safetensors files, tensor by tensor."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from efn_compose.checkpoints.containers.safetensors import DTYPES
from efn_compose.checkpoints.writers.torch_writer import Entry

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_safetensors(
    path: str | os.PathLike[str],
    entries: Iterable[Entry],
    values: Iterator[np.ndarray],
    metadata: Mapping[str, str],
) -> None:
    """Write tensors with a header; offsets are known before any value is taken.

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
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
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
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for (_, shape, dtype), array in zip(entries, values, strict=True):
            np.ascontiguousarray(array, dtype=dtype).reshape(shape).tofile(file)
