"""Scores that need no training, beside what the trainings found."""

from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.reading.rungs_view import spearman
from efn_compose.analysis.reading.study.view import StudyView

#: Scores that need no training, as they are called.
FREE_NAMES = {"knn": "kNN", "log_me": "LogME", "ridge": "ridge probe"}


@dataclass(frozen=True)
class FreeRank:
    """How well a score without training orders the donors on a data set.

    Args:
        data: The data set.
        score: Key of `FREE_NAMES`.
        donors: Donors with both.
        correlation: Spearman's; +1 where it orders them as their trainings do; None where unknown.
        interval: Of 95 %, or None.
    """

    data: str
    score: str
    donors: int
    correlation: float | None
    interval: tuple[float, float] | None


def free_ranks(view: StudyView) -> list[FreeRank]:
    """Return by data set and free score how it orders the donors; none where there are no scores."""
    found: list[FreeRank] = []
    if not view.free:
        return found
    for data, source in enumerate(view.data_sets):
        for name in FREE_NAMES:
            pairs = free_pairs(view, name, data)
            correlation, interval = spearman(pairs) if len(pairs) else (None, None)
            found.append(FreeRank(source, name, len(pairs), correlation, interval))
    return found


def free_pairs(view: StudyView, score: str, data: int) -> np.ndarray:
    """Return (donor, 2): the free score and the trained result, higher is better in both.

    Args:
        view: The study.
        score: Key of `FREE_NAMES`.
        data: Number of the data set.
    """
    values: dict[int, list[float]] = {}
    for point, name, value in view.free:
        if name == score and view.places[point][1] == data:
            values.setdefault(point, []).append(value)
    return np.array(
        [
            (np.mean(v), -view.sign * view.point_scores(point).mean())
            for point, v in values.items()
            if view.point_scores(point).size
        ]
    )
