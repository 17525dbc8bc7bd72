"""One training of a matrix: its network, fold and seed, its work, its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from efn_compose.evolve.workers.task import Task
from efn_compose.jobs.trainings.answers import write_answers
from efn_compose.jobs.trainings.unfinished import STATE_FILE

if TYPE_CHECKING:
    from efn_compose.jobs.trainings.worker import TrainingWorker
    from efn_compose.train.recipe import FittedModel


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
        """Make the training, or what is left of it, write its folder, and return its scores."""
        from efn_compose.jobs.trainings.cell_folder import (
            FolderWatcher,
            write_history,
            write_weights,
        )
        from efn_compose.train.semi.fit import fit_with_unlabelled
        from efn_compose.train.tta import make_views

        setup = worker.setup
        folder = Path(setup.folders[self.name])
        folder.mkdir(parents=True, exist_ok=True)
        donor = setup.donors[self.variant]
        data, numbers = worker.data.part(self.fold)
        trainer = worker.trainer(self.variant, data)
        fitted = fit_with_unlabelled(
            donor,
            data,
            worker.data.unlabelled,
            setup.semi,
            trainer,
            setup.augment,
            seed=self.seed,
            state_file=folder / STATE_FILE,
            watcher=FolderWatcher(folder, self.name, setup.watch(self.name)),
        )
        write_history(folder, fitted.history)
        views = make_views(setup.tta, setup.augment, self.seed)
        probability = trainer.objective.answers(
            fitted.predict, data.validation_images, views, setup.tta.merge
        )
        write_answers(folder, numbers, probability)
        write_weights(folder, fitted, donor, data, worker.data.seen(self.fold))
        return CellResult.of(fitted, setup.train.keep, numbers, probability)


@dataclass(frozen=True, eq=False)
class CellResult:
    """The result of a training.

    Args:
        scores: Of the validation images, by the kept weights and without TTA.
        numbers: (image,) validation images.
        probability: (image, class) float32, of masks (image, height, width, class); with TTA where
            asked for.
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

    @classmethod
    def of(
        cls, fitted: "FittedModel", keep: str, numbers: np.ndarray, probability: np.ndarray
    ) -> "CellResult":
        """Return what became of a training that has ended.

        Args:
            fitted: The training.
            keep: Whose scores count: the "best" epoch's or the "last" one's.
            numbers: (image,) validation images.
            probability: (image, class) float32.
        """
        history = fitted.history
        number = history.best_epoch if keep == "best" else len(history.epochs)
        seconds: dict[str, float] = {}
        for record in history.epochs:
            for phase, value in record.seconds.items():
                seconds[phase] = round(seconds.get(phase, 0.0) + value, 3)
        return cls(
            scores=history.epochs[number - 1].validation,
            numbers=numbers,
            probability=probability,
            best_epoch=history.best_epoch,
            learning_rate=history.learning_rate,
            seconds=seconds,
        )

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
