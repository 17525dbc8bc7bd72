"""Finished trainings of a tiny network, for what reads run folders."""

from pathlib import Path
from typing import Any

from efn_compose.jobs.trainings.job import TrainSummary, train


def train_tiny(place: Path, name: str, source: str, **changes: Any) -> TrainSummary:
    """Train `place / "tiny.h5"` on an archive in `place` for two epochs.

    Args:
        place: Folder of everything.
        name: Of the run folder in it.
        source: Name of the archive.
        changes: Settings, `__` for the dot.
    """
    values = {
        "weights.file": place / "tiny.h5",
        "data.source": f"npz:{place / source}",
        "data.size": 16,
        "train.epochs": 2,
        "train.learning_rate": 0.02,
        "executor.kind": "serial",
        "run.path": place / name,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return train(overrides=[f"{key}={value}" for key, value in values.items()], quiet=True)
