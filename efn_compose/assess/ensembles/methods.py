"""All ways to make one answer of many, in one table."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from efn_compose.assess.ensembles import plain
from efn_compose.assess.ensembles.climbing import bagged_climb, climb
from efn_compose.assess.ensembles.scoring import Judge, Measure
from efn_compose.assess.ensembles.selection import select


@dataclass(frozen=True, eq=False)
class Combination:
    """A way to combine models, ready for any rows.

    Args:
        method: Its name.
        combine: From (model, row, class) to (row, class).
        weights: (model,) where models are averaged with weights, else None.
        behind: Columns left out for their score.
        doubles: Columns left out as doubles.
    """

    method: str
    combine: plain.Combine
    weights: np.ndarray | None = None
    behind: int = 0
    doubles: int = 0


#: Makes a combination from (model, row, class), labels, measure and seed.
Fit = Callable[[np.ndarray, np.ndarray, Measure, int], Combination]


def weighted(method: str, weights: np.ndarray, behind: int = 0, doubles: int = 0) -> Combination:
    """Return the mean with weights.

    Args:
        method: Its name.
        weights: (model,), summing to 1.
        behind: As for `Combination`.
        doubles: As for `Combination`.
    """

    def combine(probability: np.ndarray) -> np.ndarray:
        used = np.flatnonzero(weights)
        return np.tensordot(weights[used], probability[used].astype(np.float64), axes=1)

    return Combination(method, combine, weights, behind, doubles)


def _plain(name: str, combine: plain.Combine) -> Fit:
    def fit(
        probability: np.ndarray, labels: np.ndarray, measure: Measure, seed: int
    ) -> Combination:
        return Combination(name, combine)

    return fit


def _best(p: np.ndarray, labels: np.ndarray, measure: Measure, seed: int) -> Combination:
    values = Judge(measure, labels, p.shape[2]).values(p)
    return weighted("best", np.eye(len(p))[int(values.argmax())])


def _climbing(name: str, find: Callable[[np.ndarray, np.ndarray, Measure, int], np.ndarray]) -> Fit:
    def fit(
        probability: np.ndarray, labels: np.ndarray, measure: Measure, seed: int
    ) -> Combination:
        found = select(probability, labels, measure)
        kept = list(found.kept)
        weights = np.zeros(len(probability))
        weights[kept] = find(probability[kept], labels, measure, seed)
        return weighted(name, weights, found.behind, found.doubles)

    return fit


#: By name; the plain ones learn nothing from labels.
METHODS: dict[str, Fit] = {
    "median": _plain("median", plain.median),
    "mean": _plain("mean", plain.mean),
    "geometric": _plain("geometric", plain.geometric),
    "trimmed": _plain("trimmed", plain.trimmed),
    "rank_mean": _plain("rank_mean", plain.rank_mean),
    "best": _best,
    "climb": _climbing("climb", lambda p, labels, measure, seed: climb(p, labels, measure)),
    "bagged_climb": _climbing("bagged_climb", bagged_climb),
}
#: Those that give ranks. They order the rows of a class, and say of no row which class it is.
RANKED = ("rank_mean",)
PLAIN = ("median", "mean", "geometric", "trimmed", "rank_mean")
