"""Checkpoints that have names and shapes only."""

from pathlib import Path

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor


def raw_of(tensors: dict[str, tuple[int, ...]]) -> RawCheckpoint:
    records = {
        name: RawTensor(name, shape, "float32", lambda shape=shape: np.zeros(shape, np.float32))
        for name, shape in tensors.items()
    }
    return RawCheckpoint(Path("model.ckpt"), "tf-checkpoint", records, {"ema": True})
