"""The default report on a classifier, in one table."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.assess.evaluation.calibration import CalibrationBin, calibration
from efn_compose.assess.evaluation.intervals import Interval, share_interval
from efn_compose.assess.evaluation.ranking import area_interval
from efn_compose.assess.evaluation.thresholds import (
    SENSITIVITIES,
    OperatingPoint,
    threshold_table,
)
from efn_compose.errors import DataError, describe_problems

#: How far from 1 an image's probabilities may sum: half precision and rounded CSV files.
_SUM_TOLERANCE = 5e-3
#: Of more classes only these many are shown to people; `to_json` has all.
_LISTED_CLASSES = 12


@dataclass(frozen=True)
class ClassAssessment:
    """One class against all others.

    Args:
        name: The class.
        images: Images of it.
        auc: Area under its ROC curve; None where all images or none are of the class.
        calibration_error: Expected calibration error of its probability.
        thresholds: Operating points; empty where there is no curve.
    """

    name: str
    images: int
    auc: Interval | None
    calibration_error: float
    thresholds: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class Assessment:
    """Scores of a classifier's probabilities on labelled images.

    Args:
        images: How many.
        loss: Mean cross-entropy, nats.
        brier: Mean squared distance to the truth, summed over classes; 0 to 2.
        accuracy: Share whose most probable class is the true one.
        majority: Accuracy of always naming the most frequent class.
        auc: Mean of the classes' areas (two classes: the second one's); None if any is missing.
        calibration_error: Of the most probable class's probability.
        calibration_bins: Behind it.
        classes: Each against all others; of two classes only the second.
    """

    images: int
    loss: float
    brier: float
    accuracy: Interval
    majority: float
    auc: float | None
    calibration_error: float
    calibration_bins: tuple[CalibrationBin, ...]
    classes: tuple[ClassAssessment, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; NaN becomes None."""
        fields = dataclasses.asdict(self)
        for row, one in zip(fields["classes"], self.classes, strict=True):
            for values, point in zip(row["thresholds"], one.thresholds, strict=True):
                values |= {
                    "sensitivity": point.sensitivity,
                    "specificity": point.specificity,
                    "positive_predictive_value": point.positive_predictive_value,
                    "negative_predictive_value": point.negative_predictive_value,
                }
        return _without_nan(fields)

    def __str__(self) -> str:
        """Return the table as lines for people."""
        lines = [
            f"{self.images} images: accuracy {self.accuracy} (always the most frequent class: "
            f"{self.majority:.4f}), loss {self.loss:.4f}, Brier {self.brier:.4f}, "
            f"calibration error {self.calibration_error:.4f}"
        ]
        if len(self.classes) > 1 and self.auc is not None:
            lines[0] += f", mean AUC {self.auc:.4f}"
        shown = self.classes
        if len(shown) > _LISTED_CLASSES:
            shown = tuple(sorted(shown, key=lambda row: -1 if row.auc is None else row.auc.value))
            shown = shown[:_LISTED_CLASSES]
            lines.append(f"Of {len(self.classes)} classes, the {len(shown)} that are told worst:")
        for row in shown:
            area = "no AUC, one kind is missing" if row.auc is None else f"AUC {row.auc}"
            lines.append(
                f"{row.name}: {row.images} images, {area}, "
                f"calibration error {row.calibration_error:.4f}"
            )
            if row.thresholds and len(self.classes) == 1:
                lines.append(
                    f"  {'at':<17} {'threshold':>9} {'sensitivity':>11} {'specificity':>11} "
                    f"{'PPV':>6} {'NPV':>6}"
                )
                lines += [
                    f"  {p.name:<17} {p.threshold:>9.4f} {p.sensitivity:>11.3f} "
                    f"{p.specificity:>11.3f} {_known(p.positive_predictive_value)} "
                    f"{_known(p.negative_predictive_value)}"
                    for p in row.thresholds
                ]
        return "\n".join(lines)


def _known(value: float) -> str:
    """Return a share of those called so, a dash where nobody is."""
    return f"{'–':>6}" if math.isnan(value) else f"{value:>6.3f}"


def assess(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    bins: int = 15,
    sensitivities: Sequence[float] = SENSITIVITIES,
) -> Assessment:
    """Assess a classifier: accuracy, AUC, calibration and thresholds, with intervals.

    Args:
        labels: (image,) class numbers from 0.
        probabilities: (image, class) that sum to 1; or (image,), of the second of two classes.
        class_names: One per class; default their numbers.
        level: Probability with which the intervals cover.
        bins: Of the calibration.
        sensitivities: Of the threshold tables.

    Raises:
        DataError: The arrays do not fit or are no probabilities; all problems are listed.

    Example:
        >>> found = assess(np.array([0, 1, 1, 0]), np.array([0.2, 0.9, 0.6, 0.3]), ["no", "yes"])
        >>> found.accuracy.value, found.auc
        (1.0, 1.0)
    """
    labels, given = np.asarray(labels), np.asarray(probabilities, np.float64)
    if given.ndim == 1:
        given = np.stack([1 - given, given], axis=1)
    names = tuple(class_names or (str(number) for number in range(given.shape[-1])))
    _check(labels, given, names)
    given = np.minimum(given, 1.0)
    images = np.arange(len(labels))
    best = given.argmax(axis=1)
    truth = np.eye(len(names))[labels]
    error, table = calibration(given.max(axis=1), best == labels, bins)
    wanted = range(1, 2) if len(names) == 2 else range(len(names))
    rows = tuple(
        _assess_class(names[c], labels == c, given[:, c], level, bins, sensitivities)
        for c in wanted
    )
    areas = [row.auc.value for row in rows if row.auc is not None]
    tiny = np.finfo(np.float64).tiny
    return Assessment(
        images=len(labels),
        loss=float(-np.log(np.maximum(given[images, labels], tiny)).mean()),
        brier=float(((given - truth) ** 2).sum(axis=1).mean()),
        accuracy=share_interval(int((best == labels).sum()), len(labels), level),
        majority=float(np.bincount(labels).max() / len(labels)),
        auc=float(np.mean(areas)) if len(areas) == len(rows) else None,
        calibration_error=error,
        calibration_bins=tuple(table),
        classes=rows,
    )


def _assess_class(
    name: str,
    is_positive: np.ndarray,
    scores: np.ndarray,
    level: float,
    bins: int,
    sensitivities: Sequence[float],
) -> ClassAssessment:
    has_curve = is_positive.any() and not is_positive.all()
    return ClassAssessment(
        name=name,
        images=int(is_positive.sum()),
        auc=area_interval(is_positive, scores, level) if has_curve else None,
        calibration_error=calibration(scores, is_positive, bins)[0],
        thresholds=tuple(threshold_table(is_positive, scores, sensitivities) if has_curve else ()),
    )


def _check(labels: np.ndarray, given: np.ndarray, names: tuple[str, ...]) -> None:
    problems = []
    if given.ndim != 2 or given.shape[1] != len(names) or len(names) < 2:
        problems.append(
            f"- probabilities: expected (image, {max(len(names), 2)}), received {given.shape}"
        )
    elif not ((given >= 0) & (given <= 1 + 1e-6)).all():
        bad = int((~((given >= 0) & (given <= 1 + 1e-6))).any(axis=1).sum())
        problems.append(f"- probabilities of {bad} images are outside 0 to 1 or not numbers")
    elif len(given) and (far := np.abs(given.sum(axis=1) - 1).max()) > _SUM_TOLERANCE:
        problems.append(f"- probabilities must sum to 1 per image; one sum is off by {far:.3g}")
    if labels.shape != given.shape[:1] or not len(labels):
        problems.append(
            f"- labels: expected {given.shape[:1]}, one per image, at least one image; "
            f"received {labels.shape}"
        )
    elif labels.dtype.kind not in "iu":
        problems.append(f"- labels: expected class numbers, received {labels.dtype}")
    elif labels.min() < 0 or labels.max() >= len(names):
        problems.append(
            f"- labels: expected 0 to {len(names) - 1}, received {labels.min()} to {labels.max()}"
        )
    if problems:
        raise DataError(describe_problems("These predictions cannot be assessed.", problems))


def _without_nan(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
