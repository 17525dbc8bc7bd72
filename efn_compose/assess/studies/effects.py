"""What each level of each factor does to the score, all other factors held."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Share of a column's length that a contrast may miss the design by and still be estimable.
_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Effect:
    """A level's difference from the mean over all levels of its factor.

    Args:
        mean: The difference, in the score's unit; None where the design cannot tell.
        low: Lower end of the 95 % interval; None where nothing says how far scores scatter.
        high: Upper end.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None


def main_effects(
    levels: np.ndarray, counts: Sequence[int], scores: np.ndarray
) -> list[list[Effect]]:
    """Return the effect of every level of every factor, with its interval.

    Least squares with a mean per block and effects that sum to zero over a factor's levels. In a
    full grid that is the level's mean minus the grand mean. What the factors do together beyond
    the sum of their effects counts as noise, and so does what a factor does on one data set only;
    the intervals are rather too wide.

    Args:
        levels: (combination, factor) numbers of levels.
        counts: Levels of each factor.
        scores: (combination, block) float64, seeds of a fold averaged; NaN where there is none.

    Returns:
        A list per factor with an `Effect` per level.

    Example:
        >>> levels = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> scores = np.array([[1.0], [2.0], [3.0], [4.0]])
        >>> [[effect.mean for effect in factor] for factor in main_effects(levels, [2, 2], scores)]
        [[-1.0, 1.0], [-0.5, 0.5]]
    """
    points, blocks = np.nonzero(np.isfinite(scores))
    columns = [np.ones((len(points), 1)), sum_coded(blocks, scores.shape[1])]
    columns += [sum_coded(levels[points, n], count) for n, count in enumerate(counts)]
    design, values = np.hstack(columns), scores[points, blocks]
    inverse = np.linalg.pinv(design)
    weights = inverse @ values
    rank = int(np.linalg.matrix_rank(design)) if len(points) else 0
    freedom = len(points) - rank
    covariance, reach = None, 0.0
    if freedom > 0:
        from scipy.special import stdtrit

        variance = float(np.square(values - design @ weights).sum()) / freedom
        covariance, reach = variance * (inverse @ inverse.T), float(stdtrit(freedom, 0.975))
    found, start = [], 1 + scores.shape[1] - 1
    for count in counts:
        contrasts = np.zeros((count, design.shape[1]))
        contrasts[:, start : start + count - 1] = sum_coded(np.arange(count), count)
        start += count - 1
        known = np.abs(contrasts @ inverse @ design - contrasts).max(axis=1) < _TOLERANCE
        found.append(
            [
                _effect(row, weights, covariance, reach) if is_known else Effect(None)
                for row, is_known in zip(contrasts, known, strict=True)
            ]
        )
    return found


def sum_coded(numbers: np.ndarray, count: int) -> np.ndarray:
    """Return columns (row, count - 1) whose weights, with minus their sum, add up to zero.

    Args:
        numbers: (row,) numbers of levels.
        count: Levels in all.

    Example:
        >>> sum_coded(np.array([0, 1, 2]), 3).tolist()
        [[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]
    """
    coded = np.eye(count)[numbers]
    return coded[:, :-1] - coded[:, -1:]


def _effect(
    contrast: np.ndarray, weights: np.ndarray, covariance: np.ndarray | None, reach: float
) -> Effect:
    mean = round(float(contrast @ weights), 12)
    if covariance is None:
        return Effect(mean)
    half = reach * float(np.sqrt(max(0.0, contrast @ covariance @ contrast)))
    return Effect(mean, mean - half, mean + half)
