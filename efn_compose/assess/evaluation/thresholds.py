"""Thresholds of a probability, and the errors that each one makes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.errors import ConfigError, DataError

#: Sensitivities that a table asks for unless told otherwise.
SENSITIVITIES = (0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class OperatingPoint:
    """Counts at one threshold: images with a score at or above it are called positive.

    Args:
        name: The purpose of the threshold.
        threshold: The smallest score called positive.
        true_positives: Positives called so.
        false_negatives: Positives missed.
        true_negatives: Negatives called so.
        false_positives: Negatives called positive.
    """

    name: str
    threshold: float
    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int

    @property
    def sensitivity(self) -> float:
        """Share of positives that are found."""
        return _share(self.true_positives, self.false_negatives)

    @property
    def specificity(self) -> float:
        """Share of negatives that are left alone."""
        return _share(self.true_negatives, self.false_positives)

    @property
    def positive_predictive_value(self) -> float:
        """Share of alarms that are right, at this table's share of positives; NaN without one."""
        return _share(self.true_positives, self.false_positives)

    @property
    def negative_predictive_value(self) -> float:
        """Share of all-clears that are right, at this table's share of positives."""
        return _share(self.true_negatives, self.false_negatives)


def threshold_table(
    is_positive: np.ndarray,
    scores: np.ndarray,
    sensitivities: Sequence[float] = SENSITIVITIES,
    thresholds: Sequence[float] = (),
) -> list[OperatingPoint]:
    """Return the operating points that a reader of a classifier asks for.

    First Youden's point (largest sensitivity + specificity - 1; of several the most
    sensitive), then for each wanted sensitivity the most specific point that reaches
    it, then the given thresholds. Thresholds chosen on the images they are measured on
    flatter; choose on validation images, measure on test images with `thresholds=`.

    Args:
        is_positive: (image,) bool; both kinds must occur.
        scores: (image,) finite, higher for positives.
        sensitivities: Above 0, up to 1.
        thresholds: Scores at which to measure as well.

    Raises:
        ConfigError: A sensitivity outside 0 to 1.
        DataError: One kind does not occur, or scores are not finite.

    Example:
        >>> labels = np.array([0, 0, 1, 0, 1, 1]) == 1
        >>> for point in threshold_table(labels, np.array([1, 2, 3, 4, 5, 6]) / 10, [1.0]):
        ...     print(f"{point.name}: {point.threshold} finds {point.sensitivity:.2f}")
        Youden: 0.3 finds 1.00
        sensitivity 1: 0.3 finds 1.00
    """
    is_positive, scores = np.asarray(is_positive, bool), np.asarray(scores, np.float64)
    _check(is_positive, scores, sensitivities)
    levels, hits, alarms = _curve(is_positive, scores)
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())

    def point(name: str, threshold: float, hit: int, alarm: int) -> OperatingPoint:
        return OperatingPoint(
            name, float(threshold), int(hit), positives - int(hit), negatives - int(alarm),
            int(alarm),
        )  # fmt: skip

    # As whole numbers, so that equal points are equal.
    youden = hits * negatives - alarms * positives
    best = len(youden) - 1 - int(np.argmax(youden[::-1]))
    found = [point("Youden", levels[best], hits[best], alarms[best])]
    for wanted in sensitivities:
        # A hair of tolerance: 0.95 of 20 positives is 19, not 20.
        place = int(np.argmax(hits >= wanted * positives - 1e-9))
        found.append(point(f"sensitivity {wanted:g}", levels[place], hits[place], alarms[place]))
    for threshold in thresholds:
        called = scores >= threshold
        found.append(
            point(
                f"threshold {threshold:g}", threshold, np.sum(called & is_positive),
                np.sum(called & ~is_positive),
            )
        )  # fmt: skip
    return found


def _curve(
    is_positive: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distinct scores from high to low, and hits and false alarms at each."""
    order = np.argsort(-scores, kind="stable")
    sorted_scores, sorted_labels = scores[order], is_positive[order]
    last = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    hits = np.cumsum(sorted_labels)[last]
    return sorted_scores[last], hits, last + 1 - hits


def _check(is_positive: np.ndarray, scores: np.ndarray, sensitivities: Sequence[float]) -> None:
    wrong = [value for value in sensitivities if not 0 < value <= 1]
    if wrong:
        raise ConfigError(f"sensitivities must be above 0 and at most 1. Received: {wrong}.")
    if is_positive.shape != scores.shape or scores.ndim != 1 or not np.isfinite(scores).all():
        raise DataError(
            "labels and finite scores must be (image,) of one length. Received: "
            f"{is_positive.shape} and {scores.shape}."
        )
    if is_positive.all() or not is_positive.any():
        raise DataError("a threshold table needs positives and negatives; one kind is missing.")


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else float("nan")
