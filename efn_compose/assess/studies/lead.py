"""Which point of a study leads, and which points cannot be told from the leader."""

from dataclasses import dataclass

import numpy as np

#: One-sided probability of a standard normal beyond one standard error.
ONE_ERROR = 0.15865525393145707


@dataclass(frozen=True)
class Lead:
    """The leader of a study.

    Args:
        leader: The point with the best mean; None where no point has all blocks.
        tied: Points that the leader is not ahead of, best first, the leader among them.
        probability: By point, Holm's probability that the leader is not ahead of it; NaN for the
            leader and where no difference can be formed.
    """

    leader: int | None
    tied: tuple[int, ...]
    probability: np.ndarray

    @property
    def is_alone(self) -> bool:
        """Whether the leader is ahead of every other point."""
        return len(self.tied) == 1


def find_lead(scores: np.ndarray, *, lower_is_better: bool = True) -> Lead:
    """Return the leader, and the points that it is not ahead of by a standard error.

    The leader has the best mean of the points that have a score in every block. Each other point
    is compared with it over the blocks that both have: a paired t-test, one-sided. Holm's steps
    (Holm 1979) hold the chance of a single wrong lead at that of one standard error, 15.9 %, for
    all comparisons together. With fewer than two common blocks nothing is told apart.

    Args:
        scores: (point, block) float64; NaN where a training failed.
        lower_is_better: The direction of the score.

    Example:
        >>> find_lead(np.array([[0.10, 0.12], [0.50, 0.53], [0.11, 0.09]])).tied
        (2, 0)
    """
    values = scores if lower_is_better else -scores
    complete = np.flatnonzero(np.isfinite(values).all(axis=1))
    found = np.full(len(values), np.nan)
    if not len(complete):
        return Lead(None, (), found)
    leader = int(complete[values[complete].mean(axis=1).argmin()])
    for point, row in enumerate(values):
        if point != leader and np.isfinite(row).any():
            found[point] = _not_ahead(row - values[leader])
    compared = np.flatnonzero(np.isfinite(found))
    found[compared] = holm(found[compared])
    tied = [leader, *(int(p) for p in compared if found[p] > ONE_ERROR)]
    means = np.array([np.nanmean(values[point]) for point in tied])
    return Lead(leader, tuple(tied[n] for n in np.argsort(means, kind="stable")), found)


def _not_ahead(differences: np.ndarray) -> float:
    """Return the one-sided probability of differences like these if there were none."""
    from scipy.special import stdtr

    known = differences[np.isfinite(differences)]
    if len(known) < 2:
        return 1.0
    mean, error = known.mean(), known.std(ddof=1) / np.sqrt(len(known))
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(len(known) - 1, -mean / error))


def holm(probabilities: np.ndarray) -> np.ndarray:
    """Return Holm's adjusted probabilities (Holm 1979).

    Args:
        probabilities: (test,) in 0-1.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(probabilities, kind="stable")
    steps = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(probabilities[order] * steps), 1.0)
    return adjusted
