"""A study as values: scores by combination and block, who leads, effects, fronts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from efn_compose.assess.studies.blocks import (
    block_means,
    centred,
    known_means,
    means_by_data_set,
)
from efn_compose.assess.studies.effects import Effect, main_effects
from efn_compose.assess.studies.front import pareto_front
from efn_compose.assess.studies.interactions import TOLD_APART, interaction_probabilities
from efn_compose.assess.studies.lead import Lead, find_lead, find_leads
from efn_compose.store.study_files import DATA_AXIS

Found = TypeVar("Found")


@dataclass(frozen=True)
class Row:
    """One training.

    Args:
        point: Number of the point.
        repeat: Number of the fold and seed.
        scores: By name; empty where it failed, or was not made yet.
        error: Why it failed, or "".
        seconds: Of training, statistics and scoring; NaN where unknown.
        per_image: Seconds of training per image and epoch.
        spent: Seconds of all epochs by the clock that no other work moves, tracing left out; NaN
            where unknown.
        clock: That clock: "processor", or "wall" for an accelerator.
    """

    point: int
    repeat: int
    scores: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    seconds: float = float("nan")
    per_image: float = float("nan")
    spent: float = float("nan")
    clock: str = "processor"


@dataclass(frozen=True, eq=False)
class StudyView:
    """A study as its folder tells it, finished or not.

    Args:
        path: The run folder.
        design: The contents of `study.json`.
        rows: One per point, fold and seed, in that order.
        free: (point, score name, value) of donors without training.
    """

    path: Path
    design: Mapping[str, Any]
    rows: Sequence[Row]
    free: Sequence[tuple[int, str, float]]

    @property
    def metric(self) -> str:
        """The score that combinations are compared by."""
        return str(self.design["metric"])

    @property
    def sign(self) -> int:
        """What to multiply a score with, so that smaller is better."""
        return 1 if self.design["lower_is_better"] else -1

    @property
    def axes(self) -> list[tuple[str, list[Any]]]:
        """Name and levels of every axis with more than one level, data sets aside."""
        axes = self.design["axes"]
        return [(axes[n]["name"], axes[n]["levels"]) for n in self._varied]

    @cached_property
    def data_sets(self) -> list[str]:
        """Names of the data sets."""
        return [str(level) for level in self.design["axes"][self._data]["levels"]]

    @property
    def is_of_several(self) -> bool:
        """Whether there are several data sets, so that scores are compared as differences."""
        return len(self.data_sets) > 1

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """Combination and data set of every point."""
        numbers: dict[tuple[int, ...], int] = {}
        found = []
        for point in self.design["points"]:
            levels = list(point["levels"])
            data = levels.pop(self._data)
            found.append((numbers.setdefault(tuple(levels), len(numbers)), data))
        return found

    @cached_property
    def points(self) -> list[list[int]]:
        """The points of every combination, one per data set that it was planned for."""
        found: list[list[int]] = [[] for _ in range(1 + max(one for one, _ in self.places))]
        for point, (combination, _) in enumerate(self.places):
            found[combination].append(point)
        return found

    @cached_property
    def levels(self) -> np.ndarray:
        """Level numbers (combination, axis) on `axes`."""
        points = self.design["points"]
        found = [[points[own[0]]["levels"][n] for n in self._varied] for own in self.points]
        return np.array(found, int).reshape(len(self.points), len(self._varied))

    @property
    def has_folds(self) -> bool:
        """Whether each data set has several folds, so that the luck of the images is covered."""
        return len({repeat["fold"] for repeat in self.design["blocks"]}) > 1

    @cached_property
    def training_data(self) -> np.ndarray:
        """Number of the data set of every column of `scores`, (training,)."""
        return np.repeat(np.arange(len(self.data_sets)), len(self.design["blocks"]))

    @cached_property
    def training_block(self) -> np.ndarray:
        """Number of the block of every column of `scores`, (training,): a data set and a fold.

        With a single fold each column is a block.
        """
        if not self.has_folds:
            return np.arange(len(self.training_data))
        folds = np.array([repeat["fold"] for repeat in self.design["blocks"]])
        own = self.training_data * (folds.max() + 1) + np.tile(folds, len(self.data_sets))
        return np.unique(own, return_inverse=True)[1]

    @cached_property
    def block_data(self) -> np.ndarray:
        """Number of the data set of every block, (block,)."""
        first = np.unique(self.training_block, return_index=True)[1]
        return np.asarray(self.training_data[first])

    @cached_property
    def scores(self) -> np.ndarray:
        """The metric (combination, training), NaN where there is none."""
        return self.matrix(self.metric)

    def matrix(self, score: str) -> np.ndarray:
        """Return a score (combination, training), NaN where there is none."""
        return self._matrix([row.scores.get(score, np.nan) for row in self.rows])

    def in_blocks(self, scores: np.ndarray) -> np.ndarray:
        """Return means over the seeds of each block, (combination, block).

        Args:
            scores: (combination, training), NaN where there is none.
        """
        return block_means(scores, self.training_block)

    @cached_property
    def differences(self) -> np.ndarray:
        """Scores less the mean of their data set, fold and seed, (combination, block)."""
        return self.in_blocks(centred(self.scores))

    @cached_property
    def compared(self) -> np.ndarray:
        """What is compared (combination, block): differences for several data sets, else scores."""
        return self.differences if self.is_of_several else self.in_blocks(self.scores)

    @cached_property
    def means(self) -> np.ndarray:
        """Mean of what is compared, (combination,); each data set has the same share."""
        return known_means(means_by_data_set(self.compared, self.block_data), axis=1)

    @property
    def mean_name(self) -> str:
        """What `means` are, in a few words."""
        return f"{self.metric} − data set's mean" if self.is_of_several else self.metric

    @property
    def mean_note(self) -> str:
        """What a caption adds about `means`; empty where they are plain ones."""
        if not self.is_of_several:
            return ""
        return f" Each {self.metric} is taken less the mean of its data set, fold and seed."

    @cached_property
    def seconds(self) -> np.ndarray:
        """Mean seconds of a combination's training, (combination,)."""
        return known_means(self._matrix([row.seconds for row in self.rows]), axis=1)

    @cached_property
    def spent(self) -> np.ndarray:
        """Mean seconds of a combination's epochs by their own clock, (combination,)."""
        return known_means(self.spent_by_training, axis=1)

    @cached_property
    def spent_by_training(self) -> np.ndarray:
        """Seconds of a training's epochs by their own clock, (combination, training)."""
        return self._matrix([row.spent for row in self.rows])

    @property
    def clock(self) -> str:
        """The clock of `spent`: "processor" or "wall"."""
        return next((row.clock for row in self.rows if np.isfinite(row.spent)), "processor")

    @property
    def equal(self) -> str:
        """What all trainings on a data set have alike: epochs, multiply-adds or seconds."""
        return str(self.design.get("equal", "epochs"))

    def epochs(self, combination: int) -> list[int]:
        """Return the epochs of a combination's trainings, each number once."""
        points = [self.design["points"][point] for point in self.points[combination]]
        return sorted({point["epochs"] for point in points if point["epochs"] is not None})

    @cached_property
    def multiply_adds(self) -> np.ndarray:
        """Multiply-adds per image, (combination,); NaN where they are not counted."""
        found = [
            [self.design["points"][point]["multiply_adds"] for point in own] for own in self.points
        ]
        means = [np.nan if None in values else np.mean(values) for values in found]
        return np.array(means, float)

    @property
    def has_scores(self) -> bool:
        """Whether any training has ended well."""
        return bool(np.isfinite(self.scores).any())

    @property
    def waiting(self) -> int:
        """Trainings that are still to be made."""
        return sum(not row.scores and not row.error for row in self.rows)

    @cached_property
    def lead(self) -> Lead:
        """Who leads over all data sets, and who is tied."""
        return self._find(find_lead)

    @cached_property
    def leads(self) -> list[Lead]:
        """The same on each data set alone."""
        return self._find(find_leads)

    @cached_property
    def effects(self) -> list[list[Effect]]:
        """Main effects by axis and level."""
        return main_effects(self.levels, self._counts, self.differences)

    @cached_property
    def effects_by_data(self) -> list[list[list[Effect]]]:
        """Main effects on each data set alone, by axis and level."""
        return [
            main_effects(self.levels, self._counts, self.differences[:, self.block_data == data])
            for data in range(len(self.data_sets))
        ]

    @cached_property
    def interactions(self) -> np.ndarray:
        """By axis, the p-value after Holm's steps of its differences between data sets, (axis,)."""
        return interaction_probabilities(
            self.levels, self._counts, self.differences, self.block_data
        )

    @property
    def dependent(self) -> list[int]:
        """Numbers of the axes whose effects are told apart between data sets."""
        return [int(n) for n in np.flatnonzero(self.interactions <= TOLD_APART)]

    def front(self, costs: np.ndarray) -> list[int]:
        """Return the combinations of the Pareto front by a cost (combination,)."""
        return pareto_front(costs, self.sign * self.means)

    def name(self, combination: int) -> str:
        """Return a combination in words: its levels on the axes that vary."""
        if not self.axes:
            return str(self.design["points"][self.points[combination][0]]["network"])
        pairs = zip(self.axes, self.levels[combination], strict=True)
        return ", ".join(f"{axis} {level_text(levels[n])}" for (axis, levels), n in pairs)

    def point_name(self, point: int) -> str:
        """Return a point in words: its combination, and its data set where there are several."""
        combination, data = self.places[point]
        end = f" on {self.data_sets[data]}" if self.is_of_several else ""
        return self.name(combination) + end

    def point_scores(self, point: int) -> np.ndarray:
        """Return the scores of a point that there are, (block,)."""
        combination, data = self.places[point]
        found = self.in_blocks(self.scores)[combination, self.block_data == data]
        return np.asarray(found[np.isfinite(found)])

    def _find(self, find: Callable[..., Found]) -> Found:
        """Return the answer of `find_lead` or `find_leads`."""
        better = self.sign > 0
        return find(self.scores, self.training_data, self.training_block, lower_is_better=better)

    @property
    def _data(self) -> int:
        return [axis["name"] for axis in self.design["axes"]].index(DATA_AXIS)

    @property
    def _varied(self) -> list[int]:
        axes = enumerate(self.design["axes"])
        return [n for n, axis in axes if len(axis["levels"]) > 1 and n != self._data]

    @property
    def _counts(self) -> list[int]:
        return [len(levels) for _, levels in self.axes]

    def _matrix(self, values: Sequence[float]) -> np.ndarray:
        """Return values of all rows as (combination, training)."""
        repeats = len(self.design["blocks"])
        found = np.full((len(self.points), len(self.data_sets), repeats), np.nan)
        for row, value in zip(self.rows, values, strict=True):
            found[(*self.places[row.point], row.repeat)] = value
        return found.reshape(len(self.points), -1)


def level_text(level: object) -> str:
    """Return a level as a person would write it.

    Example:
        >>> level_text(0.5), level_text(None), level_text([1, 2])
        ('0.5', 'own', '1 2')
    """
    if level is None:
        return "own"
    if isinstance(level, list | tuple):
        return " ".join(map(str, level)) or "none"
    return f"{level:g}" if isinstance(level, float) else str(level)
