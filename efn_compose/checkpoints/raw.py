"""What every reader returns: foreign names, shapes, and values on demand."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.checkpoints.source_file import StoredValues


@dataclass(frozen=True)
class RawTensor:
    """One tensor of a foreign file; its values are read when `load` is called.

    Args:
        name: Name in the file.
        shape: Shape in the file's own layout.
        dtype: Name of the stored type, "float32", "bfloat16", ...
        load: Reads the values; checked against the file's size before.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], np.ndarray]

    def copy_to(self, target: np.ndarray) -> None:
        """Read the values into an array of as many, of any strides and type.

        Args:
            target: Array of the tensor's shape, or of one with more or fewer axes of length one.
        """
        if isinstance(self.load, StoredValues) and target.shape == self.shape:
            self.load.copy_to(target)
        else:
            target[...] = self.load().reshape(target.shape)


@dataclass(frozen=True)
class RawCheckpoint:
    """A foreign checkpoint, unwrapped to its tensors.

    Args:
        path: The file, or the prefix of a TF checkpoint.
        container: "torch-zip", "torch-legacy", "safetensors", "h5-weights",
            "h5-model", "keras-weights", "keras-zip", "tf-checkpoint",
            "tf-saved-model", "onnx".
        tensors: By foreign name, in the file's order, prefixes stripped.
        metadata: What the file or a `config.json` beside it says about itself.
        notes: What unwrapping did: which key was taken, which prefix stripped.
    """

    path: Path
    container: str
    tensors: Mapping[str, RawTensor]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the source file's bytes (of all files of a TF checkpoint, in name order)."""
        digest = hashlib.sha256()
        files = (
            [self.path]
            if self.path.is_file()
            else sorted(self.path.parent.glob(f"{self.path.name}.*"))
        )
        for path in files:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()
