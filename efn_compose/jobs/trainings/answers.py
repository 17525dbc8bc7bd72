"""What a training says of its validation images, kept in its folder."""

from pathlib import Path

import numpy as np

from efn_compose.errors import RunError
from efn_compose.store.arrays import read_arrays, write_arrays

PREDICTIONS_FILE = "validation.npz"


def write_answers(folder: Path, numbers: np.ndarray, probability: np.ndarray) -> None:
    """Keep the predictions of a training on its validation images."""
    write_arrays(folder / PREDICTIONS_FILE, {"numbers": numbers, "probability": probability})


def read_answers(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Return image numbers and probabilities of `write_answers`, None where they are lost."""
    try:
        file = read_arrays(folder / PREDICTIONS_FILE)
        return file["numbers"], file["probability"]
    except (RunError, KeyError):
        return None
