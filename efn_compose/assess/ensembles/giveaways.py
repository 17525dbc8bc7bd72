"""Probes for what tells the classes without looking at a picture: place in the list, bytes, pixels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from efn_compose.assess.ensembles.scoring import score

#: Bins of a value; rows of a bin on average, at least; rows that smooth a bin's shares.
_BINS, _EACH, _PRIOR = 20, 20, 2.0
#: Area from which on a value tells the classes, if it is also so many standard errors above chance.
_TELLS, _ERRORS = 0.6, 4.0


@dataclass(frozen=True)
class Giveaway:
    """A value that tells the classes.

    Args:
        name: Of the value.
        area: Mean area under the curve of each class, out of fold; 0.5 is chance.
        error: Its standard error.
    """

    name: str
    area: float
    error: float

    def __str__(self) -> str:
        """Return a sentence."""
        return (
            f"{self.name} tells the classes of labelled rows without a look at them (AUC "
            f"{self.area:.3f} ± {self.error:.3f}): see that test images do not differ in it."
        )


def giveaways(
    values: Mapping[str, np.ndarray], labels: np.ndarray, fold: np.ndarray
) -> list[Giveaway]:
    """Return the values from which classes are told, on folds that had no say.

    Each value is cut into bins of equally many rows; a bin says what share of its rows a class has. So
    any relation counts, not only a rising one.

    Args:
        values: (row,) numbers each, by name.
        labels: (row,) class numbers.
        fold: (row,) fold numbers.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels, fold = rng.integers(0, 2, 400), np.arange(400) % 5
        >>> bytes_, width = rng.normal(size=400) + labels, rng.normal(size=400)
        >>> [g.name for g in giveaways({"bytes": bytes_, "width": width}, labels, fold)]
        ['bytes']
    """
    found = []
    for name, numbers in values.items():
        if len(np.unique(numbers)) < 2:
            continue
        own = score("auc", labels, _stated(np.asarray(numbers, np.float64), labels, fold))
        error = own.standard_error()
        if own.value > max(_TELLS, 0.5 + _ERRORS * error):
            found.append(Giveaway(name, own.value, error))
    return found


def _stated(numbers: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    truth = np.eye(int(labels.max()) + 1)[labels]
    stated = np.zeros_like(truth)
    for number in np.unique(fold):
        inside = fold != number
        bins = max(2, min(_BINS, int(inside.sum()) // _EACH))
        edges = np.unique(np.quantile(numbers[inside], np.linspace(0, 1, bins + 1)[1:-1]))
        place, asked = (np.searchsorted(edges, numbers[part]) for part in (inside, ~inside))
        prior = truth[inside].mean(axis=0)
        shares = np.tile(_PRIOR * prior, (len(edges) + 1, 1))
        np.add.at(shares, place, truth[inside])
        stated[~inside] = (shares / shares.sum(axis=1, keepdims=True))[asked]
    return stated
