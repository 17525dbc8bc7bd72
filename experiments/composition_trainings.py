"""The trainings of experiments/composition.py: lines and branches of one budget from one absorbed donor.

A *line* is one training, one epoch after the other. *Branches* are four lines that go on from their
average after every so many epochs. Both may begin at class means, let the rate fall, keep their
optimizer and change their images.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from composition_memory import falling_course, go_on, moments_of
from scoreboard_bench import Bench, Tensors

from efn_compose.arch import HEAD_LAYER
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.engine.batches import even_batches
from efn_compose.train.engine.head_start import head_numbers

COUNT = 4
#: One recipe of augmentation per branch. None mirrors: digits would become others.
RECIPES = (
    AugmentOptions(flip_x=0, rotation=10, stretch=0.2),
    AugmentOptions(flip_x=0, brightness=0.2, contrast=0.3, hue=0.05),
    AugmentOptions(flip_x=0, randaugment_ops=2, randaugment_strength=0.3),
    AugmentOptions(flip_x=0, holes=1, hole_size=0.25),
)


@dataclass(frozen=True)
class Manner:
    """How lines and branches train.

    Args:
        head: "random" or "class_means".
        kept: Whether each branch's optimizer goes on after an average.
        falling: Whether the rate falls over the second half.
        intervals: Epochs between averages, in turn; the last one is repeated.
        outer: Factor and momentum of a step along the branches' mean difference; (1, 0) averages.
        augmented: "own" gives every branch a recipe of its own, "union" gives every image one,
            drawn anew each epoch.
    """

    head: str = "class_means"
    kept: bool = True
    falling: bool = False
    intervals: tuple[int, ...] = (1,)
    outer: tuple[float, float] = (1.0, 0.0)
    augmented: Literal["no", "own", "union"] = "no"


@dataclass(frozen=True)
class Line:
    """One training of the whole budget.

    Args:
        states: After each of its last epochs.
        means: Over the updates of each of these epochs; empty unless they were asked for.
        seconds: The processor's.
    """

    states: Sequence[Tensors]
    means: Sequence[Tensors]
    seconds: float


class Trainings:
    """Trainings of one bench; arms that follow each other share the last line.

    Args:
        bench: Data, absorbed donor, network, rate.
        watches_updates: Whether lines keep the mean of every epoch's updates, too.
    """

    def __init__(self, bench: Bench, *, watches_updates: bool = False) -> None:
        self.bench = bench
        self.network = bench.evaluator.network
        self._watches_updates = watches_updates
        #: uint8 (image, height, width, 3).
        self.images = tf.constant(bench.data.train_images)
        self._line: tuple[Manner, Line] | None = None
        self._reused = 0.0
        self._starts: dict[str, dict[str, np.ndarray]] = {}

    def made(self, arm: Callable[["Trainings"], Any]) -> tuple[Any, float]:
        """Return the result of an arm and its processor seconds, those of a shared line included."""
        begun, self._reused = time.process_time(), 0.0
        found = arm(self)
        return found, time.process_time() - begun + self._reused

    def start(self, head: str) -> dict[str, np.ndarray]:
        """Return the absorbed donor with its first classifier."""
        if head not in self._starts:
            bench, network = self.bench, self.network
            donor = bench.best_donor.tensors
            network.load(donor, bench.draw("plain"), bench.head_seed)
            if head == "class_means":
                worker, looked_at = bench.evaluator, head_numbers(len(bench.data.train_labels))
                order = looked_at[even_batches(len(looked_at), worker.inference_batch)]
                network.start_head(worker.images["train"], worker.labels("train"), order)
            found = network.tensors(with_head=True)
            own = {n: v for n, v in found.items() if n.startswith(f"{HEAD_LAYER}/")}
            self._starts[head] = {**donor, **own}
        return self._starts[head]

    def line(self, manner: Manner) -> Line:
        """Return one training of the whole budget."""
        if self._line is not None and self._line[0] == manner:
            self._reused += self._line[1].seconds
            return self._line[1]
        self._line = None  # two lines would not fit into the memory of small machines
        bench, begun = self.bench, time.process_time()
        states: list[Tensors] = []
        means: list[Tensors] = []
        self.network.load(self.start(manner.head), bench.draw("plain"))
        with bench._training_at(bench.rate):
            for epoch in range(bench.budget):
                is_kept = epoch >= bench.budget - bench.config["memory"]
                watched = means if is_kept and self._watches_updates else None
                self._epoch(manner, bench.draw("plain", epoch), epoch, bench.budget, 0, watched)
                if is_kept:
                    states.append(self.network.tensors(with_head=True))
        self._line = manner, Line(states, means, time.process_time() - begun)
        return self._line[1]

    def branches(self, manner: Manner) -> list[Tensors]:
        """Return the average of the branches after each of its generations."""
        bench = self.bench
        epochs, state, states = bench.budget // COUNT, self.start(manner.head), []
        moments: list[Any] = [None] * COUNT
        velocity: dict[str, np.ndarray] = {}
        intervals = _intervals(manner.intervals, epochs)
        with bench._training_at(bench.rate):
            for generation, (first, last) in enumerate(intervals):
                ends = []
                for branch in range(COUNT):
                    seed = bench.draw("branch", 1000 * branch + generation)
                    self.network.load(state, seed)
                    if manner.kept and moments[branch] is not None:
                        go_on(self.network, moments[branch])
                    for epoch in range(first, last):
                        order = bench.draw("branch order", 1000 * branch + epoch)
                        self._epoch(manner, order, epoch, epochs, branch)
                    ends.append(self.network.tensors(with_head=True))
                    moments[branch] = moments_of(self.network) if manner.kept else None
                state, velocity = outer_step(state, mean(ends), velocity, manner.outer)
                states.append(state)
        return states

    def _epoch(
        self,
        manner: Manner,
        seed: int,
        epoch: int,
        epochs: int,
        branch: int,
        means: list[Tensors] | None = None,
    ) -> None:
        """Train for an epoch; `means` grows by the mean of the weights after its updates."""
        worker = self.bench.evaluator
        order = self.network.epoch_order(len(self.bench.data.train_labels), seed)
        stretch = epoch / epochs, (epoch + 1) / epochs
        course = falling_course(*stretch, len(order)) if manner.falling else None
        images = self._images(manner, branch, epoch)

        def train(steps: slice) -> None:
            if course is None:
                self.network.train(images, worker.train_labels, order[steps])
                return
            for batch, factor in zip(order[steps], course[steps], strict=True):
                self.network.train(images, worker.train_labels, batch[None], float(factor))

        if means is None:
            train(slice(None))
            return
        total: dict[str, np.ndarray] = {}
        for step in range(len(order)):
            train(slice(step, step + 1))
            for name, values in self.network.tensors(with_head=True).items():
                total[name] = total[name] + values if name in total else values
        means.append({name: values / np.float32(len(order)) for name, values in total.items()})

    def _images(self, manner: Manner, branch: int, epoch: int) -> Any:
        """Return the training images as an epoch sees them."""
        images = self.images
        if manner.augmented == "no":
            return images
        count = len(self.bench.data.train_labels)
        if manner.augmented == "own":
            recipes = np.full(count, branch)
        else:
            draws = np.random.default_rng(self.bench.draw("recipes", 1000 * branch + epoch))
            recipes = draws.integers(len(RECIPES), size=count)
        seen = np.array(images)
        for number in np.unique(recipes):
            numbers = np.flatnonzero(recipes == number).astype(np.int32)
            seed = self.bench.draw("augmentation", branch)
            own = tf.gather(images, numbers)
            changed = augment(own, tf.constant(numbers), RECIPES[number], seed=seed, epoch=epoch)
            seen[numbers] = np.clip(np.rint(changed.numpy()), 0, 255).astype(np.uint8)
        return tf.constant(seen)


def _intervals(lengths: Sequence[int], epochs: int) -> list[tuple[int, int]]:
    """Return first and last epoch of each generation."""
    found, first = [], 0
    while first < epochs:
        last = min(epochs, first + lengths[min(len(found), len(lengths) - 1)])
        found.append((first, last))
        first = last
    return found


def mean(states: Sequence[Tensors]) -> dict[str, np.ndarray]:
    """Return the plain mean of weights."""
    return {
        name: np.mean([s[name] for s in states], axis=0, dtype=np.float64).astype(np.float32)
        for name in states[0]
    }


def outer_step(
    before: Tensors, after: Tensors, velocity: Mapping[str, np.ndarray], outer: tuple[float, float]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Go on along the branches' mean difference with momentum (Nesterov's, as DiLoCo does).

    Args:
        before: The state that branches set out from.
        after: The mean of their ends.
        velocity: Of the step before; empty at first.
        outer: Factor and momentum.
    """
    factor, momentum = outer
    if outer == (1.0, 0.0):
        return dict(after), {}
    moving = {n: v for n, v in after.items() if "moving_" not in n}
    new = {n: momentum * velocity.get(n, 0.0) + v - before[n] for n, v in moving.items()}
    found = dict(after)
    for name, step in new.items():
        along = momentum * step + after[name] - before[name]
        found[name] = (before[name] + factor * along).astype(np.float32)
    return found, new
