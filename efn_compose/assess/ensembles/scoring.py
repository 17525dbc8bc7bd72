"""A score of probabilities with the share that each row has in it, so that two can be compared by pairs."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from efn_compose.assess.evaluation.ranking import area_components
from efn_compose.errors import ConfigError
from efn_compose.numerics.ranks import midranks

#: "auc": mean area of each class against all others (of two classes: the second one's); "loss":
#: mean cross-entropy in nats; "accuracy": share of right answers.
Measure = Literal["auc", "loss", "accuracy"]
MEASURES: tuple[Measure, ...] = ("auc", "loss", "accuracy")
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Score:
    """A score, higher is better: of "loss" it is the negative.

    Args:
        value: Of all rows.
        influence: (row,) how far each row moves the value; they sum to 0.
    """

    value: float
    influence: np.ndarray

    def standard_error(self, clusters: np.ndarray | None = None) -> float:
        """Return the standard error over rows, or over clusters of rows that belong together."""
        return _error(self.influence, clusters)


@dataclass(frozen=True)
class Comparison:
    """One score minus another on the same rows.

    Args:
        difference: Above 0: the first is better.
        standard_error: Of the paired difference.
    """

    difference: float
    standard_error: float

    @property
    def is_ahead(self) -> bool:
        """Whether the first is better by more than a standard error."""
        return self.difference > self.standard_error


def score(measure: Measure, labels: np.ndarray, probability: np.ndarray) -> Score:
    """Return the score of probabilities.

    Args:
        measure: "auc", "loss" or "accuracy".
        labels: (row,) class numbers.
        probability: (row, class).

    Raises:
        ConfigError: Another measure.
        DataError: A class does not occur, for "auc".

    Example:
        >>> stated = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> round(score("accuracy", np.array([0, 1, 1]), stated).value, 2)
        0.67
    """
    rows = np.arange(len(labels))
    if measure == "loss":
        each = np.log(np.maximum(probability[rows, labels].astype(np.float64), _TINY))
    elif measure == "accuracy":
        each = (probability.argmax(axis=1) == labels).astype(np.float64)
    elif measure == "auc":
        return _area(labels, probability)
    else:
        raise ConfigError(f"measure: allowed {', '.join(MEASURES)}. Received: {measure!r}.")
    return Score(float(each.mean()), (each - each.mean()) / len(each))


def compare(first: Score, second: Score, clusters: np.ndarray | None = None) -> Comparison:
    """Return one score minus another; for areas this is the paired test of DeLong et al. 1988.

    Args:
        first: A score.
        second: A score of the same rows.
        clusters: (row,) rows of one number, such as one patient's, vary together.
    """
    return Comparison(
        first.value - second.value, _error(first.influence - second.influence, clusters)
    )


def _error(influence: np.ndarray, clusters: np.ndarray | None) -> float:
    parts = influence if clusters is None else np.bincount(clusters, influence)
    count = np.count_nonzero(np.bincount(clusters)) if clusters is not None else len(parts)
    return math.sqrt(float((parts**2).sum()) * count / max(count - 1, 1))


def _area(labels: np.ndarray, probability: np.ndarray) -> Score:
    classes = probability.shape[1]
    wanted = [1] if classes == 2 else range(classes)
    values, influence = [], np.zeros(len(labels))
    for number in wanted:
        is_positive = labels == number
        of_positives, of_negatives = area_components(is_positive, probability[:, number])
        value = float(of_positives.mean())
        values.append(value)
        influence[is_positive] += (of_positives - value) / len(of_positives)
        influence[~is_positive] += (of_negatives - value) / len(of_negatives)
    return Score(float(np.mean(values)), influence / len(values))


class Judge:
    """Scores many candidates at once, fast, for algorithms that try thousands.

    Args:
        measure: As for `score`.
        labels: (row,) class numbers.
        classes: Number of classes.
    """

    def __init__(self, measure: Measure, labels: np.ndarray, classes: int) -> None:
        self._measure, self._labels = measure, labels
        #: Classes whose probabilities the measure reads.
        self._read = slice(1, 2) if measure == "auc" and classes == 2 else slice(0, classes)
        numbers = range(classes)[self._read]
        self._positive = [labels == number for number in numbers]
        self._rows = np.arange(len(labels))

    def needed(self, probability: np.ndarray) -> np.ndarray:
        """Return what `values_of` needs of probabilities (candidate, row, class): (class, candidate, row)."""
        read = np.moveaxis(np.asarray(probability, np.float64)[:, :, self._read], 2, 0)
        return np.ascontiguousarray(read)

    def values(self, probability: np.ndarray) -> np.ndarray:
        """Return the score of each candidate, (candidate,); higher is better.

        Args:
            probability: (candidate, row, class); of any scale for "auc".
        """
        return self.values_of(self.needed(probability))

    def values_of(self, needed: np.ndarray) -> np.ndarray:
        """Return the scores of candidates, or of sums of them, in the form of `needed`."""
        if self._measure == "accuracy":
            return (needed.argmax(axis=0) == self._labels).mean(axis=1)
        if self._measure == "loss":
            stated = needed[self._labels, :, self._rows]
            return np.log(np.maximum(stated, _TINY)).mean(axis=0)
        areas = [
            _areas(scores, positive)
            for scores, positive in zip(needed, self._positive, strict=True)
        ]
        return np.mean(areas, axis=0)


def _areas(scores: np.ndarray, is_positive: np.ndarray) -> np.ndarray:
    """Return the area of each row of scores (candidate, row); ties count half."""
    count = int(is_positive.sum())
    order = scores.argsort(axis=1)
    ordered, mask = np.take_along_axis(scores, order, axis=1), is_positive[order]
    ranks = (mask * np.arange(1, len(is_positive) + 1)).sum(axis=1).astype(np.float64)
    is_tied = (ordered[:, 1:] == ordered[:, :-1]) & (mask[:, 1:] != mask[:, :-1])
    # Ties are rare once models are averaged, and ranks with ties take three times as long.
    for number in np.flatnonzero(is_tied.any(axis=1)):
        ranks[number] = midranks(scores[number])[is_positive].sum()
    return (ranks - count * (count + 1) / 2) / (count * (len(is_positive) - count))
