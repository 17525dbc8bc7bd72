"""One judgement of a network by labels: probes of its features, and a short training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from efn_compose.errors import DataError
from efn_compose.evolve.workers.task import Task
from efn_compose.numerics.ridge import RidgeRegression

if TYPE_CHECKING:
    from efn_compose.jobs.pretraining.worker import PretrainWorker

#: Neighbours that vote, at most.
_VOTERS = 20


@dataclass(frozen=True)
class JudgeTask(Task):
    """One network on one seed.

    Args:
        arm: Name of a pretraining, or "absorbed".
        seed: Decides which labelled images train, and the short training; fresh, and the same for
            every arm.
    """

    is_limited: ClassVar[bool] = False

    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the judgement."""
        return f"{self.arm} judged {self.seed}"

    def run(self, worker: "PretrainWorker") -> dict[str, float]:
        """Return "ridge", "knn" and "accuracy", 0 to 1, and "loss" in nats, of the judging images."""
        from efn_compose.train.objectives.classification import Classification
        from efn_compose.train.options import TrainOptions
        from efn_compose.train.recipe import fit

        labelled = worker.data.labelled
        if labelled is None:
            raise DataError("There are no labelled images to judge by.")
        donor, features = worker.arm(self.arm)
        train, judge = labelled.split(self.seed)
        classes = len(labelled.class_names)
        parts = (features[train], labelled.labels[train], features[judge], labelled.labels[judge])
        setup = worker.setup
        options = TrainOptions(
            epochs=setup.judge_epochs, head_start=setup.judge_head, deterministic=True
        )
        trainer = worker.trainer("judge", lambda: Classification(classes, options))
        data = labelled.data(self.seed)
        fitted = fit(
            donor.without_head(),
            data,
            augment=worker.setup.augment,
            seed=self.seed,
            trainer=trainer,
        )
        return {
            "ridge": ridge_accuracy(*parts, classes),
            "knn": knn_accuracy(*parts, classes),
            **fitted.history.epochs[-1].validation,
        }


def ridge_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    others: np.ndarray,
    other_labels: np.ndarray,
    classes: int,
) -> float:
    """Return the accuracy of a ridge regression on features.

    Args:
        features: (image, feature) to fit on.
        labels: (image,) of these.
        others: (image, feature) to judge by.
        other_labels: (image,) of these.
        classes: Number of classes.
    """
    fit = RidgeRegression(features, np.eye(classes)[labels]).fit()
    return float(((others @ fit.kernel + fit.bias).argmax(axis=1) == other_labels).mean())


def knn_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    others: np.ndarray,
    other_labels: np.ndarray,
    classes: int,
) -> float:
    """Return the accuracy of the nearest images' votes by cosine; arguments as of `ridge_accuracy`."""
    unit, asked = (
        part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
        for part in (features.astype(np.float64), others.astype(np.float64))
    )
    cosines = asked @ unit.T
    count = max(1, min(_VOTERS, len(labels) // (2 * classes)))
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    votes = np.zeros((len(others), classes))
    for place in near.T:
        votes[np.arange(len(others)), labels[place]] += 1 + cosines[np.arange(len(others)), place]
    return float((votes.argmax(axis=1) == other_labels).mean())
