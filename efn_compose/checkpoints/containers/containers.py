"""Recognising a file's container by its bytes, and handing it to the reader of that container."""

import dataclasses
import importlib
import os
from pathlib import Path
from typing import Any, Protocol

from efn_compose.checkpoints.containers.not_checkpoints import refuse_other_kinds
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.containers.source_hash import SourceHash
from efn_compose.checkpoints.containers.zip_archive import open_zip
from efn_compose.errors import UnreadableCheckpointError

TORCH_LEGACY_MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
TF_INDEX_MAGIC = bytes.fromhex("57fb808b247547db")

#: Reader of each container as "module:function", imported when needed.
READERS: dict[str, str] = {
    "torch-zip": "efn_compose.checkpoints.containers.torch.torch_zip:read",
    "torch-legacy": "efn_compose.checkpoints.containers.torch.torch_legacy:read",
    "safetensors": "efn_compose.checkpoints.containers.safetensors:read",
    "h5-weights": "efn_compose.checkpoints.containers.keras.keras_h5:read",
    "h5-model": "efn_compose.checkpoints.containers.keras.keras_h5:read",
    "keras-weights": "efn_compose.checkpoints.containers.keras.keras_h5:read",
    "keras-zip": "efn_compose.checkpoints.containers.keras.keras_zip:read",
    "tf-checkpoint": "efn_compose.checkpoints.containers.tf_checkpoint:read",
    "tf-saved-model": "efn_compose.checkpoints.containers.tf_checkpoint:read",
    "onnx": "efn_compose.checkpoints.containers.onnx_file:read",
}


class Reader(Protocol):
    """A reader takes a path, its container and whether to prefer averaged weights."""

    def __call__(self, path: Path, *, container: str, ema: bool) -> RawCheckpoint: ...


#: Files of a folder that are called weights, and how many of them a message lists.
_SUFFIXES = frozenset({".h5", ".keras", ".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".onnx"})
_LISTED = 3


def detect_container(path: str | os.PathLike[str]) -> str:
    """Return the container of a checkpoint: a key of `READERS`.

    Args:
        path: A file, a SavedModel folder, or the prefix of a TF checkpoint.

    Raises:
        UnreadableCheckpointError: Nothing is there, or no reader knows the bytes.

    Example:
        >>> detect_container("efficientnet-lite0.pth")  # doctest: +SKIP
        'torch-legacy'
    """
    path = Path(path)
    if path.is_dir():
        if (path / "saved_model.pb").is_file() and (path / "variables").is_dir():
            return "tf-saved-model"
        if any(path.glob("*.distcp")):
            raise UnreadableCheckpointError(
                f"{path}: a distributed checkpoint of PyTorch. Bring it into one file: python -m "
                "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE."
            )
        raise UnreadableCheckpointError(
            f"{path}: a folder, but not a SavedModel (saved_model.pb and variables/). Name the "
            f"checkpoint file in it, or the prefix of a TF checkpoint (model.ckpt).{_files_in(path)}"
        )
    if not path.is_file():
        if Path(f"{path}.index").is_file():
            return "tf-checkpoint"
        raise UnreadableCheckpointError(f"{path}: no such file.")
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(max(0, path.stat().st_size - 8))
        tail = file.read(8)
    if head.startswith(HDF5_MAGIC[:4]):
        return _hdf5_kind(path)
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path, head)
    if head.startswith(TORCH_LEGACY_MAGIC):
        return "torch-legacy"
    refuse_other_kinds(path, head)
    if tail == TF_INDEX_MAGIC or path.name.endswith(".index"):
        return "tf-checkpoint"
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "safetensors"
    if path.suffix.lower() == ".onnx":
        return "onnx"
    raise UnreadableCheckpointError(
        f"{path}: no known checkpoint format (first bytes {head[:8].hex(' ')}). Known: "
        f"{', '.join(READERS)}. The file is truncated, or of another kind."
    )


def _files_in(folder: Path) -> str:
    """Return which files of weights a folder holds, such as that of a run, as a sentence."""
    found = sorted(
        (str(file.relative_to(folder)) for file in folder.rglob("*") if file.suffix in _SUFFIXES),
        key=lambda name: (name.count("/"), name),
    )
    if not found:
        return ""
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f" It holds {', '.join(found[:_LISTED])}{more}."


def read_checkpoint(
    path: str | os.PathLike[str], *, ema: bool = True, hashed: bool = False
) -> RawCheckpoint:
    """Read a checkpoint of any container; tensors are loaded on demand.

    Args:
        path: A file, a SavedModel folder, or the prefix of a TF checkpoint.
        ema: Whether the averaged weights are taken where a file holds both sets.
        hashed: Whether a thread begins to hash the files at once; otherwise `RawCheckpoint.sha256`
            does when it is asked.

    Raises:
        CheckpointError: Missing, damaged, unsafe, or of no known container.

    Example:
        >>> read_checkpoint("b0.pth").tensors["_fc.bias"].shape  # doctest: +SKIP
        (1000,)
    """
    path = Path(path)
    container = detect_container(path)
    module, function = READERS[container].split(":")
    read: Reader = getattr(importlib.import_module(module), function)
    if container == "tf-checkpoint" and path.name.endswith(".index"):
        path = path.with_name(path.name.removesuffix(".index"))
    begun = SourceHash(path) if hashed and path.is_file() else None
    raw = read(path, container=container, ema=ema)
    return dataclasses.replace(raw, hash=begun) if begun and raw.path == path else raw


def _hdf5_kind(path: Path) -> str:
    from efn_compose.checkpoints.containers.keras.hdf5_safety import damage_refused, open_hdf5

    with open_hdf5(path) as file, damage_refused(path):
        if "model_config" in file.attrs or "model_weights" in file:
            return "h5-model"
        return "h5-weights" if _has_layer_names(file) else "keras-weights"


def _has_layer_names(file: Any) -> bool:
    return "layer_names" in file.attrs or "layer_names0" in file.attrs


def _zip_kind(path: Path, head: bytes) -> str:
    # PyTorch's first member is its pickle: no need to read through the directory twice.
    name_length = int.from_bytes(head[26:28], "little")
    if head[30 : 30 + name_length].endswith(b"/data.pkl"):
        return "torch-zip"
    with open_zip(path) as archive:
        names = archive.namelist()
    if any(name.endswith("model.weights.h5") for name in names):
        return "keras-zip"
    if any(name.split("/")[-1] == "data.pkl" for name in names):
        return "torch-zip"
    raise UnreadableCheckpointError(
        f"{path}: a zip archive, but neither a PyTorch file (data.pkl) nor a Keras file "
        f"(model.weights.h5). It holds: {', '.join(names[:5])}. Unpack it, and name the checkpoint "
        "inside."
    )
