"""A study's run folder: rows, means, who leads, effects, fronts, and free scores beside results."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.analysis.charts.figures import count
from efn_compose.analysis.reading.rungs_view import spearman
from efn_compose.assess.studies.effects import Effect, main_effects
from efn_compose.assess.studies.front import pareto_front
from efn_compose.assess.studies.lead import Lead, find_lead
from efn_compose.errors import RunError
from efn_compose.store import read_journal
from efn_compose.store.run_folder import JOURNAL_FILE
from efn_compose.store.study_files import STUDY_FILE

#: Scores that need no training, as they are called.
FREE_NAMES = {"knn": "kNN", "log_me": "LogME", "ridge": "ridge probe"}


@dataclass(frozen=True)
class Row:
    """One training.

    Args:
        point: Number of the point.
        block: Number of the block.
        scores: By name; empty where it failed, or was not made yet.
        error: Why it failed, or "".
        seconds: Of training, statistics and scoring; NaN where unknown.
        per_image: Seconds of training per image and epoch.
    """

    point: int
    block: int
    scores: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    seconds: float = float("nan")
    per_image: float = float("nan")


@dataclass(frozen=True, eq=False)
class StudyView:
    """A study as its folder tells it, finished or not.

    Args:
        path: The run folder.
        design: The contents of `study.json`.
        rows: One per point and block, in that order.
        free: (point, score name, value) of donors without training.
    """

    path: Path
    design: Mapping[str, Any]
    rows: Sequence[Row]
    free: Sequence[tuple[int, str, float]]

    @property
    def metric(self) -> str:
        """The score that points are compared by."""
        return str(self.design["metric"])

    @property
    def sign(self) -> int:
        """What to multiply a score with, so that smaller is better."""
        return 1 if self.design["lower_is_better"] else -1

    @property
    def axes(self) -> list[tuple[str, list[Any]]]:
        """Name and levels of every axis with more than one level."""
        return [(a["name"], a["levels"]) for a in self.design["axes"] if len(a["levels"]) > 1]

    @cached_property
    def levels(self) -> np.ndarray:
        """Level numbers (point, axis) on the axes with more than one level."""
        kept = [n for n, axis in enumerate(self.design["axes"]) if len(axis["levels"]) > 1]
        points = [[point["levels"][n] for n in kept] for point in self.design["points"]]
        return np.array(points, int).reshape(len(points), len(kept))

    @cached_property
    def scores(self) -> np.ndarray:
        """The metric (point, block), NaN where there is none."""
        return self._matrix([row.scores.get(self.metric, np.nan) for row in self.rows])

    @cached_property
    def means(self) -> np.ndarray:
        """Mean of the metric over the blocks that have one, (point,)."""
        return _row_means(self.scores)

    @cached_property
    def seconds(self) -> np.ndarray:
        """Mean seconds of a point's training, (point,)."""
        return _row_means(self._matrix([row.seconds for row in self.rows]))

    @property
    def multiply_adds(self) -> np.ndarray:
        """Multiply-adds per image, (point,); NaN where they are not counted."""
        found = [point["multiply_adds"] for point in self.design["points"]]
        return np.array([np.nan if value is None else value for value in found], float)

    @property
    def has_scores(self) -> bool:
        """Whether any training has ended well."""
        return bool(np.isfinite(self.scores).any())

    @cached_property
    def lead(self) -> Lead:
        """Who leads, and who is tied."""
        return find_lead(self.scores, lower_is_better=self.sign > 0)

    @cached_property
    def effects(self) -> list[list[Effect]]:
        """Main effects by axis and level."""
        counts = [len(levels) for _, levels in self.axes]
        return main_effects(self.levels, counts, self.scores)

    def front(self, costs: np.ndarray) -> list[int]:
        """Return the points of the Pareto front by a cost (point,)."""
        return pareto_front(costs, self.sign * self.means)

    def name(self, point: int) -> str:
        """Return a point in words: its levels on the axes that vary."""
        if not self.axes:
            return str(self.design["points"][point]["network"])
        pairs = zip(self.axes, self.levels[point], strict=True)
        return ", ".join(f"{axis} {level_text(levels[n])}" for (axis, levels), n in pairs)

    @property
    def verdict(self) -> str:
        """Who is best, where that is told apart; otherwise how many are tied."""
        lead, blocks = self.lead, len(self.design["blocks"])
        waiting = sum(not row.scores and not row.error for row in self.rows)
        end = (
            f" {count(waiting, 'training is', 'trainings are')} still to be made."
            if waiting
            else ""
        )
        if lead.leader is None:
            return f"No combination has a score in every block yet.{end}"
        if len(self.rows) == blocks:
            return f"One combination was trained.{end}"
        if lead.is_alone:
            return f"Best: {self.name(lead.leader)}.{end}"
        if blocks < 2:
            return f"One seed tells nothing apart: give each combination two or more.{end}"
        return f"These {len(lead.tied)} of {len(self.means)} combinations are tied.{end}"

    def correlations(self) -> list[tuple[str, str, int, float | None, tuple[float, float] | None]]:
        """Return by data set and free score: donors, Spearman's correlation with the results.

        Positive means that the free score ranks the donors as their trainings do.
        """
        sources = next(a["levels"] for a in self.design["axes"] if a["name"] == "data")
        number = [a["name"] for a in self.design["axes"]].index("data")
        found = []
        for place, source in enumerate(sources):
            for name in FREE_NAMES:
                values: dict[int, list[float]] = {}
                for point, score, value in self.free:
                    if score == name and self.design["points"][point]["levels"][number] == place:
                        values.setdefault(point, []).append(value)
                pairs = [
                    (float(np.mean(v)), -self.sign * float(self.means[point]))
                    for point, v in values.items()
                    if np.isfinite(self.means[point])
                ]
                correlation, interval = spearman(np.array(pairs)) if len(pairs) else (None, None)
                found.append((str(source), name, len(pairs), correlation, interval))
        return found

    def table_csv(self) -> str:
        """Return a row per training; whatever the workers and however often killed, the same."""
        names = sorted({name for row in self.rows for name in row.scores})
        axes = [axis["name"] for axis in self.design["axes"]]
        head = ["point", "fold", "seed", *axes, "trained_network", "parameters", "multiply_adds"]
        lines: list[list[Any]] = [[*head, "epochs", *names, "error"]]
        for row in self.rows:
            point, block = self.design["points"][row.point], self.design["blocks"][row.block]
            chosen = [
                "" if axis["levels"][n] is None else level_text(axis["levels"][n])
                for axis, n in zip(self.design["axes"], point["levels"], strict=True)
            ]
            costs = [point[key] for key in ("network", "parameters", "multiply_adds", "epochs")]
            scores = [repr(row.scores[name]) if name in row.scores else "" for name in names]
            lines.append(
                [row.point, block["fold"], block["seed"], *chosen]
                + ["" if value is None else value for value in costs]
                + [*scores, row.error]
            )
        return _csv(lines)

    def times_csv(self) -> str:
        """Return measured seconds of every training."""
        lines: list[list[Any]] = [["point", "fold", "seed", "seconds", "seconds_per_image"]]
        for row in self.rows:
            block = self.design["blocks"][row.block]
            times = [f"{row.seconds:.3f}", f"{row.per_image:.6f}"] if row.scores else ["", ""]
            lines.append([row.point, block["fold"], block["seed"], *times])
        return _csv(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict for machines, as `result.json` keeps it."""
        lead = self.lead
        return {
            "verdict": self.verdict,
            "metric": self.metric,
            "leader": lead.leader,
            "tied": list(lead.tied),
            "points": [
                {
                    "point": point,
                    "name": self.name(point),
                    "mean": float(mean) if np.isfinite(mean) else None,
                    "not_behind": None if np.isnan(chance) else float(chance),
                }
                for point, (mean, chance) in enumerate(
                    zip(self.means, lead.probability, strict=True)
                )
            ],
            "failed": sum(bool(row.error) for row in self.rows),
            "correlations": [
                {"data": data, "score": name, "donors": donors, "correlation": found}
                for data, name, donors, found, _ in self.correlations()
                if self.free
            ],
        }

    def _matrix(self, values: Sequence[float]) -> np.ndarray:
        return np.array(values, float).reshape(len(self.design["points"]), -1)


def read_study(path: str | os.PathLike[str]) -> StudyView:
    """Read a study's run folder.

    Args:
        path: The folder; the study may be going on, finished or broken.

    Raises:
        RunError: No study there, or its design is damaged.
    """
    folder = Path(path)
    try:
        design = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
        points, blocks = range(len(design["points"])), design["blocks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / STUDY_FILE}: no study can be read there ({error}).") from None
    place = {(block["fold"], block["seed"]): number for number, block in enumerate(blocks)}
    found: dict[tuple[int, int], Row] = {}
    free: dict[tuple[int, int], list[tuple[int, str, float]]] = {}
    for record in read_journal(folder / JOURNAL_FILE).records:
        point, fold, seed = record["point"], record["fold"], record["seed"]
        if seed is None:
            scores = record["scores"].items()
            free[point, fold] = [(point, name, value) for name, value in scores]
        elif (fold, seed) in place:
            block = place[fold, seed]
            found[point, block] = _row(point, block, record)
    rows = [
        found.get((point, block), Row(point, block))
        for point in points
        for block in range(len(blocks))
    ]
    return StudyView(folder, design, rows, [entry for key in sorted(free) for entry in free[key]])


def _row(point: int, block: int, record: Mapping[str, Any]) -> Row:
    timing = record.get("timing", {})
    return Row(
        point,
        block,
        record["scores"],
        record["error"] or "",
        sum(timing.get("seconds", {}).values()) if record["scores"] else float("nan"),
        timing.get("per_image", float("nan")),
    )


def level_text(level: object) -> str:
    """Return a level as a person would write it.

    Example:
        >>> level_text(0.5), level_text(None), level_text([1, 2])
        ('0.5', 'own', '1 2')
    """
    if level is None:
        return "own"
    if isinstance(level, list | tuple):
        return " ".join(map(str, level)) or "none"
    return f"{level:g}" if isinstance(level, float) else str(level)


def _row_means(values: np.ndarray) -> np.ndarray:
    counts = np.isfinite(values).sum(axis=1)
    return np.where(counts, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
