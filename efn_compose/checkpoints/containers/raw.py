"""The type that every reader returns: foreign names, shapes, and values on demand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.checkpoints.containers.source_file import StoredValues
from efn_compose.checkpoints.containers.source_hash import SourceHash


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
        """Read the values into an array of equal size, of any strides and type.

        Args:
            target: Array of the tensor's shape, or of one with more or fewer axes of length one.
        """
        if isinstance(self.load, StoredValues) and target.shape == self.shape:
            self.load.copy_to(target)
        else:
            target[...] = self.load().reshape(target.shape)


def _hold_nothing() -> None:
    """Release nothing: the tensors of most checkpoints in tests lie in memory."""


@dataclass(frozen=True)
class RawCheckpoint:
    """A foreign checkpoint, unwrapped to its tensors.

    Args:
        path: The file, or the prefix of a TF checkpoint.
        container: "torch-zip", "torch-legacy", "safetensors", "h5-weights",
            "h5-model", "keras-weights", "keras-zip", "tf-checkpoint",
            "tf-saved-model", "onnx".
        tensors: By foreign name, in the file's order, prefixes stripped.
        metadata: Further fields of the file, or of a `config.json` beside it.
        notes: What unwrapping did: which key was taken, which prefix stripped.
        hash: The hash of the source where one was begun with the reading.
        release: Closes the files that tensors are read from; reading another one opens them again.
    """

    path: Path
    container: str
    tensors: Mapping[str, RawTensor]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    hash: SourceHash | None = None
    release: Callable[[], None] = _hold_nothing

    @property
    def sha256(self) -> str:
        """SHA-256 of the source file's bytes (of all files of a TF checkpoint, in name order)."""
        begun = self.hash if self.hash and not self.hash.is_cancelled else SourceHash(self.path)
        return begun.result()

    def close(self) -> None:
        """Leave the source: close its files, and hash it no further.

        Tensors and the hash can still be asked for, which opens the source again; a tensor of a
        file that changed in the meantime is refused.
        """
        self.release()
        if self.hash is not None:
            self.hash.cancel()
