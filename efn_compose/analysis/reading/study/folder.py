"""A study's run folder, read."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from efn_compose.analysis.reading.study.view import Row, StudyView
from efn_compose.errors import RunError
from efn_compose.store import read_journal
from efn_compose.store.run_folder import JOURNAL_FILE, named_folder
from efn_compose.store.study_files import DATA_AXIS, STUDY_FILE


def read_study(path: str | os.PathLike[str]) -> StudyView:
    """Read a study's run folder.

    Args:
        path: The folder; the study may be going on, finished or broken.

    Raises:
        RunError: No study there, or its design is damaged.
    """
    folder = named_folder(path)
    design = read_design(folder)
    repeats = design["blocks"]
    place = {(repeat["fold"], repeat["seed"]): number for number, repeat in enumerate(repeats)}
    found: dict[tuple[int, int], Row] = {}
    free: dict[tuple[int, int], list[tuple[int, str, float]]] = {}
    for record in read_journal(folder / JOURNAL_FILE).records:
        point, fold, seed = record["point"], record["fold"], record["seed"]
        if seed is None:
            scores = record["scores"].items()
            free[point, fold] = [(point, name, value) for name, value in scores]
        elif (fold, seed) in place:
            repeat = place[fold, seed]
            found[point, repeat] = _row(point, repeat, record)
    rows = [
        found.get((point, repeat), Row(point, repeat))
        for point in range(len(design["points"]))
        for repeat in range(len(repeats))
    ]
    return StudyView(folder, design, rows, [entry for key in sorted(free) for entry in free[key]])


def read_design(folder: Path) -> dict[str, Any]:
    """Return the contents of `study.json`.

    Args:
        folder: The run folder.

    Raises:
        RunError: There is no design, or it is damaged.
    """
    path = folder / STUDY_FILE
    try:
        design: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names = [axis["name"] for axis in design["axes"]]
        is_whole = DATA_AXIS in names and all(
            len(point["levels"]) == len(names) for point in design["points"]
        )
        if not (is_whole and design["points"] and design["blocks"]):
            raise ValueError("points, blocks or the axis of data sets are missing")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: no study can be read there ({error}).") from None
    return design


def _row(point: int, repeat: int, record: Mapping[str, Any]) -> Row:
    timing = record.get("timing", {})
    spent = timing.get("epochs") if record["scores"] else None
    return Row(
        point,
        repeat,
        record["scores"],
        record["error"] or "",
        sum(timing.get("seconds", {}).values()) if record["scores"] else float("nan"),
        timing.get("per_image", float("nan")),
        float("nan") if spent is None else spent,
        timing.get("clock", "processor"),
    )
