"""What a training says of its validation images, kept in its folder."""

import zipfile
from pathlib import Path

import numpy as np

from efn_compose.store import atomic_path

PREDICTIONS_FILE = "validation.npz"


def write_answers(folder: Path, numbers: np.ndarray, probability: np.ndarray) -> None:
    """Keep the predictions of a training on its validation images."""
    with atomic_path(folder / PREDICTIONS_FILE) as temporary, open(temporary, "wb") as file:
        np.savez(file, numbers=numbers, probability=probability)


def read_answers(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Return image numbers and probabilities of `write_answers`, None where they are lost."""
    try:
        with np.load(folder / PREDICTIONS_FILE, allow_pickle=False) as file:
            return file["numbers"], file["probability"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
