"""The arms of experiments/composition.py: one budget of epochs from one absorbed donor.

A *line* is one training, one epoch after the other. *Branches* are four lines that go on from their
average after every so many epochs. Every arm may begin at class means, let the rate fall, keep its
optimizer; what is not composition is offered to the plain line, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scoreboard_bench import Bench, Tensors

from efn_compose.arch import HEAD_LAYER
from efn_compose.soups.stock import model_stock
from efn_compose.train.engine.batches import even_batches
from efn_compose.train.engine.head_start import head_numbers
from efn_compose.train.engine.schedules import falling_course

COUNT = 4


@dataclass(frozen=True)
class Manner:
    """How lines and branches train.

    Args:
        head: "random" or "class_means".
        kept: Whether each branch's optimizer goes on after an average.
        falling: Whether the rate falls over the second half.
        intervals: Epochs between averages, in turn; the last one is repeated.
        outer: Factor and momentum of a step along the branches' mean difference; (1, 0) averages.
    """

    head: str = "random"
    kept: bool = True
    falling: bool = False
    intervals: tuple[int, ...] = (1,)
    outer: tuple[float, float] = (1.0, 0.0)


class Trainings:
    """Trainings of one bench, each made once for all arms that share it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.network = bench.evaluator.network
        self._lines: dict[Manner, list[Tensors]] = {}
        self._starts: dict[str, dict[str, np.ndarray]] = {}

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

    def line(self, manner: Manner) -> list[Tensors]:
        """Return the states of one training of the whole budget, after each epoch."""
        if manner not in self._lines:
            bench, kept = self.bench, []
            self.network.load(self.start(manner.head), bench.draw("plain"))
            with bench._training_at(bench.rate):
                for epoch in range(bench.budget):
                    self._epoch(manner, bench.draw("plain", epoch), epoch, bench.budget)
                    kept.append(self.network.tensors(with_head=True))
            self._lines[manner] = kept[-bench.config["memory"] :]
        return self._lines[manner]

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
                        self.network.go_on(moments[branch])
                    for epoch in range(first, last):
                        order = bench.draw("branch order", 1000 * branch + epoch)
                        self._epoch(manner, order, epoch, epochs)
                    ends.append(self.network.tensors(with_head=True))
                    moments[branch] = self.network.moments()
                state, velocity = outer_step(state, mean(ends), velocity, manner.outer)
                states.append(state)
        return states

    def _epoch(self, manner: Manner, seed: int, epoch: int, epochs: int) -> None:
        bench = self.bench
        order = self.network.epoch_order(len(bench.data.train_labels), seed)
        stretch = epoch / epochs, (epoch + 1) / epochs
        course = falling_course(*stretch, len(order)) if manner.falling else None
        bench.evaluator.train_in_order(order, course=course)


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


@dataclass(frozen=True)
class Made:
    """The weights of an arm.

    Args:
        tensors: Classifier included.
        sequential: Epochs one after the other, where there are as many workers as branches.
        note: Anything worth keeping.
    """

    tensors: Tensors
    sequential: float
    note: Any = None


def best_average(trainings: Trainings, states: Sequence[Tensors], sequential: float) -> Made:
    """Return the average over the last 1, 2, 4 … states that validates best."""
    depths = [n for n in (1, 2, 4, 8, 16) if n <= len(states)]
    averages = {n: mean(states[-n:]) for n in depths}
    losses = {n: trainings.bench.validation_loss(a) for n, a in averages.items()}
    chosen = min(losses, key=losses.__getitem__)
    return Made(averages[chosen], sequential, {"states": chosen})


def plain(manner: Manner) -> Callable[[Trainings], Made]:
    """Return the arm of one line whose last epochs are averaged."""
    return lambda t: best_average(t, t.line(manner), t.bench.budget)


def branched(manner: Manner) -> Callable[[Trainings], Made]:
    """Return the arm of four branches."""
    return lambda t: best_average(t, t.branches(manner), t.bench.budget / COUNT)


def stock(manner: Manner) -> Callable[[Trainings], Made]:
    """Return the arm that weighs the last states of a line against its start by Model Stock."""

    def arm(trainings: Trainings) -> Made:
        bench = trainings.bench
        like = bench.best_donor
        start = like.replace(name="start", tensors=trainings.start(manner.head))
        states = [
            like.replace(name=f"state{n}", tensors=tensors)
            for n, tensors in enumerate(trainings.line(manner)[-8:])
        ]
        found = model_stock(start, states)
        ratios = list(found.ratios.values())
        return Made(found.donor.tensors, bench.budget, {"mean ratio": float(np.mean(ratios))})

    return arm


def weighed(manner: Manner) -> Callable[[Trainings], Made]:
    """Return the arm whose weights of a line's states are learned, segment by segment."""

    def arm(trainings: Trainings) -> Made:
        bench = trainings.bench
        like = bench.best_donor
        states = trainings.line(manner)[-8::2]
        donors = [like.replace(name=f"s{n}", tensors=t) for n, t in enumerate(states)]
        soup, weights = bench.learned(donors, 1.0)
        return Made(soup, bench.budget + 1, {"weights": weights})

    return arm


_FRESH = Manner(kept=False)
_KEPT = Manner()
_FALLING = Manner(falling=True)
_MEANS = Manner(head="class_means")
_BOTH = Manner(head="class_means", falling=True)

ARMS: dict[str, Callable[[Trainings], Made]] = {
    "plain": plain(_KEPT),
    "plain, class means": plain(_MEANS),
    "plain, falling": plain(_FALLING),
    "plain, class means, falling": plain(_BOTH),
    "branches, as in 0.2": branched(_FRESH),
    "branches, kept": branched(_KEPT),
    "branches, kept, falling": branched(_FALLING),
    "branches, kept, class means": branched(_MEANS),
    "branches, kept, class means, falling": branched(_BOTH),
    "branches, kept, falling, outer step": branched(replace(_FALLING, outer=(0.7, 0.6))),
    "branches, kept, falling, growing interval": branched(
        replace(_FALLING, intervals=(1, 1, 2, 4))
    ),
    "Model Stock of plain": stock(_KEPT),
    "learned weights of plain": weighed(_KEPT),
}
#: What arms are held against: plain trainings, the better of these on validation.
CONTROLS = tuple(name for name in ARMS if name.startswith("plain"))
