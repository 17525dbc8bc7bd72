"""One training of a matrix: its network, fold and seed, its result, its task."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from efn_compose.evolve.workers.task import Task
from efn_compose.store import atomic_path

if TYPE_CHECKING:
    from efn_compose.jobs.trainings.worker import TrainingWorker


@dataclass(frozen=True)
class Cell(Task):
    """One training of the matrix.

    Args:
        variant: The network.
        fold: The fold that validates.
        seed: Of head, order, augmentation and dropout.
    """

    #: Networks of one matrix differ tenfold; nobody can say how long one may take.
    is_limited: ClassVar[bool] = False

    variant: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the training and of its folder."""
        return f"{self.variant}_fold{self.fold}_seed{self.seed}"

    def run(self, worker: "TrainingWorker") -> "CellResult":
        """Answer the task in a worker; the method that executors call."""
        return worker.train(self)


@dataclass(frozen=True, eq=False)
class CellResult:
    """The result of a training.

    Args:
        scores: Of the validation images, by the kept weights and without TTA.
        numbers: (image,) validation images.
        probability: (image, class) float32, with TTA where asked for.
        best_epoch: By the monitored score.
        learning_rate: The highest rate, found or given.
        seconds: Of all epochs: "train", "bn", "score".
    """

    scores: Mapping[str, float]
    numbers: np.ndarray
    probability: np.ndarray
    best_epoch: int
    learning_rate: float
    seconds: Mapping[str, float]

    def to_record(self, cell: Cell) -> dict[str, Any]:
        """Return the journal's line."""
        return {
            "training": cell.name,
            "variant": cell.variant,
            "fold": cell.fold,
            "seed": cell.seed,
            "scores": dict(self.scores),
            "best_epoch": self.best_epoch,
            "learning_rate": self.learning_rate,
            "error": None,
            "timing": {"seconds": dict(self.seconds)},
        }


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
    except (OSError, ValueError, KeyError, EOFError):
        return None
