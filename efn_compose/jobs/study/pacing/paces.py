"""Seconds of every network and size of a study, measured once and kept in its run folder."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.donors import Donor
from efn_compose.errors import ResumeMismatchError, RunError, first_of
from efn_compose.jobs.pace import Pace
from efn_compose.jobs.study.plans import Plan
from efn_compose.store.study_files import PACES_FILE

#: Of a pace, what `paces.json` keeps: all that decides how many epochs a training has.
_KEPT = ("train", "forward", "between")
#: Clocks in words.
CLOCKS = {
    "processor": "processor seconds",
    "wall": "wall seconds, because processor time says nothing of an accelerator",
}


@dataclass(frozen=True)
class StudyPace(Pace):
    """Seconds of one network at one size, with what a study adds.

    Args:
        start: Of bringing the donor to the network.
        between: Per epoch, of keeping its weights and its state file.
        once: Per training, of beginning and ending it.
        clock: A name of `CLOCKS`.
    """

    start: float = 0.0
    between: float = 0.0
    once: float = 0.0
    clock: str = "processor"


@dataclass(frozen=True)
class PaceGroup:
    """Points that take the same time per image.

    Args:
        network: Name of the network or the function.
        side: Image size in pixels.
        points: Their numbers; the first one is measured.
    """

    network: str
    side: int
    points: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what `paces.json` names the group by."""
        return {"network": self.network, "resolution": self.side, "points": list(self.points)}


def pace_groups(plans: Sequence[Plan], donors: Mapping[str, Donor]) -> list[PaceGroup]:
    """Return the points that can be trained, those of one network, size and recipe together.

    The data set does not decide what an image takes, and the start does not either.

    Args:
        plans: One per point.
        donors: By name.
    """
    found: dict[Hashable, list[int]] = {}
    for number, plan in enumerate(plans):
        if not plan.problem:
            conventions = donors[plan.weights].conventions
            key = (plan.traced, conventions, plan.side, plan.augment)
            found.setdefault(key, []).append(number)
    return [
        PaceGroup(plans[points[0]].network, plans[points[0]].side, tuple(points))
        for points in found.values()
    ]


#: By place of a group: its pace, or why there is none.
Measured = dict[int, StudyPace | str]


def paces_json(groups: Sequence[PaceGroup], measured: Measured) -> dict[str, Any]:
    """Return the contents of `paces.json`: the groups that are measured by now.

    Args:
        groups: All of them.
        measured: Paces by place of the group.
    """
    rows = []
    for place, pace in sorted(measured.items()):
        row = groups[place].to_json()
        if isinstance(pace, str):
            row["error"] = pace
        else:
            row["clock"] = pace.clock
            row["seconds"] = {name: getattr(pace, name) for name in _KEPT}
        rows.append(row)
    return {"paces": rows}


def read_paces(folder: Path, groups: Sequence[PaceGroup]) -> Measured:
    """Return the paces that a run folder keeps; nothing where there is no file yet.

    Args:
        folder: The run folder.
        groups: All groups of the study.

    Raises:
        RunError: The file is damaged.
        ResumeMismatchError: It is of another study.
    """
    path = folder / PACES_FILE
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["paces"]
        named = [{name: row[name] for name in ("network", "resolution", "points")} for row in rows]
        values = [_value(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: cannot be read ({error}). Put the file back as the study wrote it, or begin the "
            "study in a new run folder."
        ) from None
    places = [group.to_json() for group in groups]
    others = [row for row in named if row not in places]
    if others:
        named_so = (f"{row['network']} at {row['resolution']} px" for row in others)
        words = ", ".join(first_of(named_so, 3))
        raise ResumeMismatchError(
            f"{path}: paces of another study ({words}). Put the file back as the study wrote it, or "
            "begin the study in a new run folder."
        )
    return {places.index(row): value for row, value in zip(named, values, strict=True)}


def _value(row: Mapping[str, Any]) -> StudyPace | str:
    if "error" in row:
        return str(row["error"])
    seconds = {name: float(row["seconds"][name]) for name in _KEPT}
    if not all(math.isfinite(value) and value >= 0 for value in seconds.values()):
        raise ValueError(f"seconds must be 0 or more: {seconds}")
    if row["clock"] not in CLOCKS:
        raise ValueError(f"clock must be {' or '.join(CLOCKS)}: {row['clock']!r}")
    if not seconds["train"]:
        raise ValueError("seconds of a training image must be more than 0")
    return StudyPace(set_up=0.0, clock=str(row["clock"]), **seconds)


def rounded(pace: StudyPace) -> StudyPace:
    """Return a pace as `paces.json` keeps it, so that a study that goes on counts with the same.

    Args:
        pace: As measured.
    """
    kept = {name: float(f"{getattr(pace, name):.6g}") for name in _KEPT}
    return StudyPace(set_up=0.0, clock=pace.clock, **kept)
