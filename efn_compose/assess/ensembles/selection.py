"""Columns that a climb need not look at: much worse than the rest, or the same as a better one."""

from dataclasses import dataclass

import numpy as np

from efn_compose.assess.ensembles.scoring import Judge, Measure
from efn_compose.numerics.ranks import midranks

#: Points below the median column's score at which a column is left out, by measure.
_BEHIND = {"auc": 0.1, "accuracy": 0.1, "loss": 0.5}
#: Rank correlation from which on two columns say the same.
_SAME = 0.995


@dataclass(frozen=True)
class Selection:
    """What is left of the columns.

    Args:
        kept: Numbers of the columns, ascending.
        behind: Number of columns left out for their score.
        doubles: Number of columns left out as doubles of a better one.
    """

    kept: tuple[int, ...]
    behind: int
    doubles: int


def select(probability: np.ndarray, labels: np.ndarray, measure: Measure) -> Selection:
    """Return the columns worth combining.

    Args:
        probability: (model, row, class).
        labels: (row,) class numbers.
        measure: What counts.

    Example:
        >>> stated = np.array([0.1, 0.8, 0.7, 0.3])
        >>> two = np.stack([np.stack([1 - p, p], axis=1) for p in (stated, stated**2)])
        >>> select(two, np.array([0, 1, 1, 0]), "auc")
        Selection(kept=(0,), behind=0, doubles=1)
    """
    classes = probability.shape[2]
    scores = Judge(measure, labels, classes).values(probability)
    good = np.flatnonzero(scores >= np.median(scores) - _BEHIND[measure])
    ranks = _standard_ranks(probability[good])
    alike = ranks @ ranks.T > _SAME
    kept: list[int] = []
    for place in np.argsort(-scores[good], kind="stable"):
        if not any(alike[place, other] for other in kept):
            kept.append(int(place))
    return Selection(
        tuple(sorted(int(good[place]) for place in kept)),
        len(probability) - len(good),
        len(good) - len(kept),
    )


def _standard_ranks(probability: np.ndarray) -> np.ndarray:
    """Return (model, row and class) ranks whose products are mean rank correlations over classes."""
    parts = []
    classes = [1] if probability.shape[2] == 2 else range(probability.shape[2])
    for number in classes:
        ranks = np.stack([midranks(stated) for stated in probability[:, :, number]])
        ranks = ranks - ranks.mean(axis=1, keepdims=True)
        length = np.linalg.norm(ranks, axis=1, keepdims=True)
        parts.append(ranks / np.maximum(length, 1e-12))
    return np.concatenate(parts, axis=1) / np.sqrt(len(parts))
