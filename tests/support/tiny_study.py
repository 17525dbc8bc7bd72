"""Studies of a network of two blocks."""

from pathlib import Path

import numpy as np
from tiny_recipe import quarters, tiny_donor


def study_place(folder: Path) -> Path:
    """Return the folder, with a donor and images of four classes."""
    tiny_donor().save(folder / "tiny.h5")
    images, labels = quarters(48)
    np.savez(folder / "images.npz", images=images, labels=labels)
    return folder


def settings(place: Path, name: str, **changes: object) -> list[str]:
    """Return the settings of a study there: four combinations, one of them impossible.

    Args:
        place: Of `study_place`.
        name: Of the run folder.
        changes: Other values, as `study__factors=""`.
    """
    values = {
        "study.weights": place / "tiny.h5",
        "study.resolutions": "16,24",
        # 16 cells do not divide 24 pixels: this combination is a row with a reason.
        "study.factors": "augment.grid_cells=4|16",
        "augment.grid": 0.5,
        "data.source": f"npz:{place / 'images.npz'}",
        "validation.seeds": 2,
        "train.epochs": 1,
        "train.learning_rate": 0.02,
        "executor.kind": "serial",
        "run.path": place / name,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in values.items()]
