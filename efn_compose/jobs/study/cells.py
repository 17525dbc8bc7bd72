"""One training of a study, and the scores of a donor that need no training."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from efn_compose.data.pixels import take
from efn_compose.evolve.workers.task import Task
from efn_compose.jobs.study.starts import spread_numbers
from efn_compose.jobs.trainings.unfinished import state_of

if TYPE_CHECKING:
    from efn_compose.jobs.study.worker import StudyWorker

#: Training images that the scores without training look at, at most.
FREE_IMAGES = 500


@dataclass(frozen=True)
class StudyCell(Task):
    """One training of a study.

    Args:
        point: Number of the point.
        fold: The fold that validates.
        seed: Of head, order, augmentation and dropout.
    """

    #: Networks of one study differ tenfold; nobody can say how long one may take.
    is_limited: ClassVar[bool] = False

    point: int
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the training in the journal."""
        return f"point{self.point}_fold{self.fold}_seed{self.seed}"

    def run(self, worker: "StudyWorker") -> dict[str, Any]:
        """Make the training, or what is left of it, and return the journal's fields.

        Raises:
            EfnComposeError: The point cannot be trained.
        """
        from efn_compose.jobs.study.pacing.probe import EpochClock, device_clock
        from efn_compose.jobs.trainings.cells import CellResult
        from efn_compose.train.recipe import fit

        clock_name, clock = device_clock()
        begun = clock()
        plan = worker.plan(self.point)
        data, numbers = worker.data[plan.source, plan.side].part(self.fold)
        donor = worker.start(plan, self.fold, self.seed)
        trainer = worker.trainer(plan, donor, data.classes)
        watch = EpochClock(clock)
        fitted = fit(
            donor,
            data,
            augment=plan.augment,
            seed=self.seed,
            state_file=state_of(worker.setup.folder, self.name),
            watcher=watch,
            trainer=trainer,
        )
        nothing = np.zeros((0, data.classes), np.float32)
        result = CellResult.of(fitted, trainer.options.keep, numbers[:0], nothing)
        trained = len(fitted.history.epochs) * len(data.train_images)
        return {
            "scores": dict(result.scores),
            "best_epoch": result.best_epoch,
            "timing": {
                "seconds": dict(result.seconds),
                "per_image": result.seconds["train"] / trained,
                "clock": clock_name,
                "epochs": watch.spent(len(fitted.history.epochs)),
                "whole": clock() - begun,
            },
        }


@dataclass(frozen=True)
class FreeScores(Task):
    """Scores of a donor's frozen features on a fold: nothing is trained.

    Args:
        point: A point of the donor as it is.
        fold: The fold that validates; nearest neighbours and LogME look at training images alone.
    """

    point: int
    fold: int

    @property
    def name(self) -> str:
        """Name of the scores in the journal."""
        return f"point{self.point}_fold{self.fold}_free"

    def run(self, worker: "StudyWorker") -> dict[str, Any]:
        """Return the journal's fields."""
        from efn_compose.analysis.rank import pooled_features
        from efn_compose.assess.transfer_scores import cosine_neighbours, log_me
        from efn_compose.jobs.study.pacing.probe import device_clock
        from efn_compose.train.resident.probe import probe_scores

        plan = worker.plan(self.point)
        clock_name, clock = device_clock()
        begun, counted = time.perf_counter(), clock()
        data = worker.data[plan.source, plan.side]
        known = free_numbers(data.labels, np.flatnonzero(data.fold != self.fold))
        asked = np.flatnonzero(data.fold == self.fold)
        donor, labels = worker.start(plan, self.fold, 0), data.labels[known]
        features, _ = pooled_features(donor, data.images[known])
        others, _ = pooled_features(donor, take(data.images, asked))
        probe = probe_scores(features, labels, others, data.labels[asked], len(data.class_names))
        found: Mapping[str, float] = {
            "knn": cosine_neighbours(features, labels)[1],
            "log_me": float(log_me(features, labels)),
            "ridge": probe["accuracy"],
        }
        seconds = {"all": time.perf_counter() - begun}
        timing = {"seconds": seconds, "clock": clock_name, "whole": clock() - counted}
        return {"scores": found, "timing": timing}


def free_numbers(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the training images that scores without training look at, classes in proportion.

    A folder's images come class by class, so that its first ones are of a few classes alone.

    Args:
        labels: (image,) of the whole table.
        numbers: Those of the images that train.

    Returns:
        At most `FREE_IMAGES` of them, ascending.

    Example:
        >>> free_numbers(np.zeros(3, int), np.array([0, 2])).tolist()
        [0, 2]
    """
    by_class = numbers[np.argsort(labels[numbers], kind="stable")]
    return np.sort(spread_numbers(by_class, FREE_IMAGES))
