"""The tables that a study leaves: a row per training, and its seconds."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from efn_compose.analysis.reading.study.view import StudyView, level_text


def table_csv(view: StudyView) -> str:
    """Return a row per training; whatever the workers and however often killed, the same."""
    names = sorted({name for row in view.rows for name in row.scores})
    axes = [axis["name"] for axis in view.design["axes"]]
    head = ["point", "fold", "seed", *axes, "trained_network", "parameters", "multiply_adds"]
    lines: list[list[Any]] = [[*head, "epochs", *names, "error"]]
    for row in view.rows:
        point, repeat = view.design["points"][row.point], view.design["blocks"][row.repeat]
        chosen = [
            "" if axis["levels"][n] is None else level_text(axis["levels"][n])
            for axis, n in zip(view.design["axes"], point["levels"], strict=True)
        ]
        costs = [point[key] for key in ("network", "parameters", "multiply_adds", "epochs")]
        scores = [repr(row.scores[name]) if name in row.scores else "" for name in names]
        lines.append(
            [row.point, repeat["fold"], repeat["seed"], *chosen]
            + ["" if value is None else value for value in costs]
            + [*scores, row.error]
        )
    return _csv(lines)


def times_csv(view: StudyView) -> str:
    """Return measured seconds of every training."""
    lines: list[list[Any]] = [["point", "fold", "seed", "seconds", "seconds_per_image"]]
    lines[0].append(f"{view.clock}_seconds_of_epochs")
    for row in view.rows:
        repeat = view.design["blocks"][row.repeat]
        times = [f"{row.seconds:.3f}", f"{row.per_image:.6f}"] if row.scores else ["", ""]
        times.append(f"{row.spent:.3f}" if np.isfinite(row.spent) else "")
        lines.append([row.point, repeat["fold"], repeat["seed"], *times])
    return _csv(lines)


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
