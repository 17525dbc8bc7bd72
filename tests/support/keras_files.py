"""Files as Keras writes them, small, and the memory that reading one takes."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np

KERNEL = np.arange(108, dtype=np.float32).reshape(3, 3, 3, 4)


def legacy_file(path: Path, root: str = "/") -> h5py.File:
    """Return an open legacy weight file with one good layer, "stem_conv"."""
    file = h5py.File(path, "w")
    group = file.require_group(root)
    group.attrs["layer_names"] = [b"stem_conv"]
    group.create_group("stem_conv").attrs["weight_names"] = [b"stem_conv/kernel:0"]
    return file


def numbered_file(path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = KERNEL
        file["layers/conv2d_2/vars/0"] = KERNEL + 2
        file["layers/conv2d_10/vars/0"] = KERNEL + 10
        for number in range(4):
            file[f"layers/batch_normalization/vars/{number}"] = np.full(4, number, np.float32)
        file["optimizer/vars/0"] = np.zeros(1)


def keras_archive(path: Path, config: dict | None = None, **extra: bytes) -> None:
    """Write a `.keras` archive as Keras does; `extra` adds or replaces members."""
    buffer = io.BytesIO()
    numbered_file(buffer)
    members = {
        "metadata.json": json.dumps({"keras_version": "3.15.1"}).encode(),
        "config.json": json.dumps(config or {"class_name": "Functional", "config": {}}).encode(),
        "model.weights.h5": buffer.getvalue(),
        **extra,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def peak_bytes(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
