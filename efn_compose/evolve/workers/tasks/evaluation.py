"""An evaluation: compose, train a while, re-estimate BatchNorm statistics, score."""

import math
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.assess.metrics import best_temperature, scores
from efn_compose.compose import Recipe
from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.compose.averaging import Tensors
    from efn_compose.evolve.workers.evaluator import Evaluator


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation: scores or a reason, never both.

    Args:
        scores: By split part: "loss" (mean cross-entropy, nats), "accuracy", ...
        train_loss: Mean training loss over the epoch.
        error: Why there are no scores; None if there are.
        seconds: By phase: compose, assign, bn, epoch, score.
        weights: After training, classifier included, where the task asked for them; they are
            not written down in the journal.
        solved: Which validation images are right, a bit each, as hexadecimal digits; empty where
            the task did not ask.
    """

    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    train_loss: float | None = None
    error: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] | None = field(default=None, repr=False, compare=False)
    solved: str = ""

    @property
    def loss(self) -> float | None:
        """Validation loss, the fitness; None after a failure."""
        part = self.scores.get("validation") or self.scores.get("test")
        return None if part is None else part["loss"]


@dataclass(frozen=True)
class EvaluationTask(Task):
    """Train a recipe's weights for a while and score them.

    A training that diverges is an answer, not an exception.

    Args:
        recipe: How the weights are made.
        seed: Decides head, order and dropout; common to all it is compared with.
        epochs: Passes over the training images.
        parts: Splits to score: "validation", "test".
        head_seed: Decides a fresh head alone; None: `seed` does.
        keep_weights: Whether the answer holds the weights after training.
        probe: Score untrained features by closed-form classifiers instead; see
            `train.resident.probe`.
        gentle: Train weights that include their classifier at `finals.final_rate` of the rate.
        per_image: Say which validation images are right.
    """

    recipe: Recipe
    seed: int
    epochs: float = 1.0
    parts: tuple[str, ...] = ("validation",)
    head_seed: int | None = None
    keep_weights: bool = False
    probe: bool = False
    gentle: bool = False
    per_image: bool = False

    @property
    def pace(self) -> Hashable:
        """Evaluations of equally many epochs and parts take about equally long."""
        return "evaluation", self.epochs, self.parts

    def run(self, worker: "Evaluator") -> Evaluation:
        """Return the scores, or why there are none."""
        clock = _Clock()
        with clock.phase("compose"):
            tensors = worker.compose(self.recipe)
        with clock.phase("assign"):
            worker.load(tensors, self.seed, self.head_seed)
        return self._probe(worker, clock) if self.probe else self._train(worker, tensors, clock)

    def _train(self, worker: "Evaluator", tensors: "Tensors", clock: "_Clock") -> Evaluation:
        with clock.phase("epoch"):
            rate = worker.rate_factor(tensors, is_gentle=self.gentle)
            train_loss = worker.train(self.seed, self.epochs, rate)
        with clock.phase("bn"):
            # Once is enough: training reads batch statistics, and this replaces the moving ones.
            worker.recalibrate()
        found, solved, temperature = {}, "", None
        with clock.phase("score"):
            for part in self.parts:
                logits, labels = worker.logits(part), worker.labels(part)
                if not np.isfinite(logits).all():
                    return Evaluation(
                        error=f"training diverged: {part} logits are not finite "
                        f"(mean training loss {train_loss:g})",
                        seconds=clock.seconds,
                    )
                if self.per_image and part == "validation":
                    solved = np.packbits(logits.argmax(axis=1) == labels).tobytes().hex()
                metric = worker.setup.metric
                # The size of logits differs between short trainings for reasons that longer ones
                # remove. Test images have no say in it: validation comes first.
                temperature = temperature or best_temperature(logits, labels)
                found[part] = scores(logits, labels, metric, temperature=temperature)
        if not math.isfinite(train_loss):
            return Evaluation(
                error=f"training diverged: training loss is {train_loss}", seconds=clock.seconds
            )
        weights = worker.network.tensors(with_head=True) if self.keep_weights else None
        return Evaluation(found, train_loss, None, clock.seconds, weights=weights, solved=solved)

    def _probe(self, worker: "Evaluator", clock: "_Clock") -> Evaluation:
        """Score untrained features; all recipes alike get BatchNorm statistics re-estimated."""
        from efn_compose.train.resident.probe import probe_scores

        with clock.phase("bn"):
            worker.recalibrate()
        found = {}
        with clock.phase("score"):
            train = worker.recalibration_features()
            train_labels = worker.labels("train")[: len(train)]
            for part in self.parts:
                features = worker.features(part)
                if not (np.isfinite(features).all() and np.isfinite(train).all()):
                    error = f"the untrained features of {part} images are not finite"
                    return Evaluation(error=error, seconds=clock.seconds)
                found[part] = probe_scores(
                    train, train_labels, features, worker.labels(part), worker.data.classes
                )
        return Evaluation(found, seconds=clock.seconds)


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + elapsed, 6)
