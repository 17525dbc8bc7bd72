"""The area under the ROC curve and its interval (DeLong, DeLong and Clarke-Pearson 1988)."""

import math

import numpy as np

from efn_compose.assess.evaluation.intervals import (
    Interval,
    certain_ends,
    logit_ends,
    normal_quantile,
)
from efn_compose.errors import DataError
from efn_compose.numerics.ranks import midranks


def area(is_positive: np.ndarray, scores: np.ndarray) -> float:
    """Return the probability that a positive scores above a negative; ties count half.

    Args:
        is_positive: (image,) bool; both kinds must occur.
        scores: (image,) any finite numbers, higher for positives.

    Raises:
        DataError: One kind does not occur, or a score is not finite.

    Example:
        >>> area(np.array([True, False, True]), np.array([0.9, 0.4, 0.4]))
        0.75
    """
    return float(area_components(is_positive, scores)[0].mean())


def area_interval(is_positive: np.ndarray, scores: np.ndarray, level: float = 0.95) -> Interval:
    """Return the area under the ROC curve with DeLong's standard error and an interval.

    The interval is symmetric on the logit scale, which keeps it inside 0 to 1 and its
    coverage near the stated level for high areas (Qin and Hotilovac 2008). Where
    positives and negatives are perfectly apart DeLong's variance is 0; the open end is then
    the area at which n disjoint pairs would all be in order with probability
    (1 - level) / 2, n being the smaller class: a conservative, exact bound.

    Args:
        is_positive: (image,) bool; both kinds must occur.
        scores: (image,) any finite numbers, higher for positives.
        level: Probability of covering.

    Raises:
        DataError: One kind does not occur, or a score is not finite.

    Example:
        >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1]) == 1
        >>> print(area_interval(labels, np.array([1, 2, 3, 5, 4, 6, 7, 8])))
        0.9375 [0.4382, 0.9965]
    """
    of_positives, of_negatives = area_components(is_positive, scores)
    value = float(of_positives.mean())
    counts = len(of_positives), len(of_negatives)
    z = normal_quantile(level)
    if value in (0.0, 1.0):
        low, high = certain_ends(value, min(counts), level)
        return Interval(value, low, high, 0.0, level)
    # A class of one image says nothing about its own variation.
    if min(counts) < 2:
        return Interval(value, 0.0, 1.0, math.nan, level)
    error = math.sqrt(sum(c.var(ddof=1) / len(c) for c in (of_positives, of_negatives)))
    low, high = logit_ends(value, error, z)
    return Interval(value, low, high, error, level)


def area_components(is_positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return DeLong's structural components, from ranks (Sun and Xu 2014).

    For each positive the share of negatives below it, for each negative the share of
    positives above it; ties count half.
    """
    is_positive, scores = np.asarray(is_positive, bool), np.asarray(scores, np.float64)
    if is_positive.shape != scores.shape or scores.ndim != 1:
        raise DataError(
            f"labels and scores must be (image,) of one length. Received: {is_positive.shape} "
            f"and {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise DataError(f"{np.sum(~np.isfinite(scores))} scores are not finite.")
    positives, negatives = scores[is_positive], scores[~is_positive]
    if not len(positives) or not len(negatives):
        raise DataError(
            f"an area under the curve needs both kinds. Received: {len(positives)} positives, "
            f"{len(negatives)} negatives."
        )
    together = midranks(scores)
    of_positives = (together[is_positive] - midranks(positives)) / len(negatives)
    of_negatives = 1 - (together[~is_positive] - midranks(negatives)) / len(positives)
    return of_positives, of_negatives
