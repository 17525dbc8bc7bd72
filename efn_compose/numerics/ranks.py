"""Ranks and their correlation in numpy: importing `scipy.stats` takes longer than a report does."""

import numpy as np

#: Digits that are kept of a correlation, so that one of a half is a half on every machine.
_DIGITS = 12


def midranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1; equal values share the mean of theirs.

    Args:
        values: (value,).

    Example:
        >>> midranks(np.array([0.2, 0.9, 0.2])).tolist()
        [1.5, 3.0, 1.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place.reshape(-1)]


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return Spearman's rank correlation; NaN where one side is constant.

    Args:
        first: (value,).
        second: (value,) of the same things.

    Example:
        >>> rank_correlation(np.arange(6), np.arange(6) ** 3)
        1.0
    """
    one, other = midranks(np.asarray(first)), midranks(np.asarray(second))
    one, other = one - one.mean(), other - other.mean()
    length = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return round(float(one @ other) / length, _DIGITS) if length else float("nan")
