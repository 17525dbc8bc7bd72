"""What travels between driver and workers: small questions, small answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.compose import Recipe
from efn_compose.donors import Donor
from efn_compose.statistics.absorb import Part

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator
    from efn_compose.train.learned_soup import LearnedSoup


@dataclass(frozen=True)
class EvaluationTask:
    """Train a recipe's weights for a while and score them.

    Args:
        recipe: How the weights are made.
        seed: Decides head, order and dropout; common to all it is compared with.
        epochs: Passes over the training images.
        parts: Splits to score: "validation", "test".
        head_seed: Decides a fresh head alone; None: `seed` does.
        keep_weights: Whether the answer holds the weights after training.
        probe: Score untrained features by closed-form classifiers instead; see `train.probe`.
        gentle: Train weights that bring their classifier at `fitness.final_rate` of the rate.
    """

    recipe: Recipe
    seed: int
    epochs: float = 1.0
    parts: tuple[str, ...] = ("validation",)
    head_seed: int | None = None
    keep_weights: bool = False
    probe: bool = False
    gentle: bool = False

    def run(self, evaluator: "Evaluator") -> "Evaluation":
        """Answer the task in a worker."""
        return evaluator.probe(self) if self.probe else evaluator.evaluate(self)


@dataclass(frozen=True)
class SiblingTask:
    """Train a donor on one share of the training images and return its weights.

    Args:
        donor: Donor number.
        seed: As above.
        share: Which of `share_count` equal, disjoint shares of the training images.
        share_count: Number of shares.
        partition_seed: Decides the shares; common to all siblings of a run.
    """

    donor: int
    seed: int
    share: int
    share_count: int
    partition_seed: int

    def run(self, evaluator: "Evaluator") -> dict[str, np.ndarray]:
        """Answer the task in a worker."""
        return evaluator.make_sibling(self)


@dataclass(frozen=True)
class PredictionTask:
    """Train a recipe's weights as an evaluation does, and say what it makes of each test image.

    Args:
        recipe: How the weights are made.
        seed: As above.
        epochs: As above.
        gentle: As above.
    """

    recipe: Recipe
    seed: int
    epochs: float = 1.0
    gentle: bool = False

    def run(self, evaluator: "Evaluator") -> dict[str, np.ndarray]:
        """Answer the task in a worker."""
        return evaluator.predict(self)


@dataclass(frozen=True)
class FinishTask:
    """Compose a recipe's weights and re-estimate their BatchNorm statistics where mixed."""

    recipe: Recipe

    def run(self, evaluator: "Evaluator") -> dict[str, np.ndarray]:
        """Answer the task in a worker."""
        return evaluator.finish(self)


@dataclass(frozen=True)
class AlignTask:
    """Bring donors of other lineages into the channel basis of the first.

    Args:
        donors: Harmonised donors; the first is the reference.
        image_count: Training images to fit on.
        seed: Chooses the positions that are compared.
    """

    donors: tuple[Donor, ...]
    image_count: int
    seed: int

    def run(self, evaluator: "Evaluator") -> list[Donor]:
        """Answer the task in a worker."""
        return evaluator.align(self)


@dataclass(frozen=True)
class AbsorbTask:
    """Write a donor over the statistics of training images, its function kept.

    Args:
        donor: The donor.
        image_count: Training images to take the statistics of.
        part: Of the donor: all, or its body.
    """

    donor: Donor
    image_count: int
    part: Part

    def run(self, evaluator: "Evaluator") -> Donor:
        """Answer the task in a worker."""
        return evaluator.absorb(self)


@dataclass(frozen=True)
class LearnedSoupTask:
    """Learn how much of each donor goes into each segment of their average.

    The answer's weights make a recipe, `Recipe.by_segment`, that is evaluated like any other.

    Args:
        seed: Decides order, dropout and a fresh classifier.
        epochs: Passes over the training images; a step costs about what a training step does.
        rate: Of Adam, for the numbers behind the weights.
    """

    seed: int
    epochs: float = 1.0
    rate: float = 0.1

    def run(self, evaluator: "Evaluator") -> "LearnedSoup":
        """Answer the task in a worker."""
        return evaluator.learn_soup(self)


@dataclass(frozen=True)
class SaliencyTask:
    """Weigh the units of a donor on training images.

    Args:
        donor: Donor number.
        image_count: Training images to look at.
        seed: Chooses the positions that are looked at.
    """

    donor: int
    image_count: int
    seed: int

    def run(self, evaluator: "Evaluator") -> dict[str, np.ndarray]:
        """Answer the task in a worker."""
        return evaluator.saliency(self)


@dataclass(frozen=True)
class BatchSizeTask:
    """Find the largest batch that a worker's memory holds, by trying.

    Args:
        limit_bytes: Memory that a worker may take; its card's where that is less.
        most: Largest batch worth trying.
    """

    limit_bytes: float
    most: int

    def run(self, evaluator: "Evaluator") -> list[tuple[int, int]]:
        """Answer the task in a worker."""
        return evaluator.try_batches(self)


Task = (
    BatchSizeTask
    | EvaluationTask
    | SiblingTask
    | PredictionTask
    | FinishTask
    | AlignTask
    | AbsorbTask
    | LearnedSoupTask
    | SaliencyTask
)


@dataclass(frozen=True)
class Evaluation:
    """What became of an evaluation: scores or a reason, never both.

    Args:
        scores: By split part: "loss" (mean cross-entropy, nats), "accuracy", ...
        train_loss: Mean training loss over the epoch.
        error: Why there are no scores; None if there are.
        seconds: By phase: compose, assign, bn, epoch, score.
        weights: After training, classifier included, where the task asked for them; they are
            not written down in the journal.
    """

    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    train_loss: float | None = None
    error: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] | None = field(default=None, repr=False, compare=False)

    @property
    def loss(self) -> float | None:
        """Validation loss, the fitness; None after a failure."""
        part = self.scores.get("validation") or self.scores.get("test")
        return None if part is None else part["loss"]


@dataclass(frozen=True)
class Outcome:
    """A worker's answer to any task; a failure is an answer too.

    Args:
        value: What the task returned, or None.
        error: Why there is no value.
        worker: Number of the worker.
        seconds: Wall time in the worker.
        memory_mb: Resident memory of the worker afterwards.
        attempts: How many workers it took.
    """

    value: Any
    error: str | None
    worker: int
    seconds: float
    memory_mb: float = 0.0
    attempts: int = 1
