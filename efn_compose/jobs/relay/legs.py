"""The legs of a relay: who worked how long, from which state to which, chained by hashes."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.errors import RunError
from efn_compose.store import write_text
from efn_compose.store.journal import to_line
from efn_compose.store.run_folder import LEGS_FILE


@dataclass(frozen=True)
class Leg:
    """One leg.

    Args:
        number: From 1.
        by: Who worked, as the system calls them.
        machine: Platform, cores, versions: what the bits of a result may hang on.
        hours: That it took.
        begun: Lines of the journal, and epochs of trainings, when it began.
        ended: The same when it ended.
        state_before: Hash of the run folder's contents when it began; "" for the first.
        state_after: The same when it ended.
    """

    number: int
    by: str
    machine: Mapping[str, Any]
    hours: float
    begun: Mapping[str, int]
    ended: Mapping[str, int]
    state_before: str
    state_after: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return dataclasses.asdict(self)


def read_legs(folder: Path) -> list[Leg]:
    """Return the legs of a run folder; none where it was never handed on.

    Raises:
        RunError: The record is damaged, or its legs are no chain.
    """
    path = folder / LEGS_FILE
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        legs = [Leg(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: damaged ({error}). Take the parcel again.") from None
    check_chain(legs, str(path))
    return legs


def check_chain(legs: Sequence[Leg], where: str) -> None:
    """Raise `RunError` unless each leg begins where the one before it ended."""
    before = ""
    for number, leg in enumerate(legs, 1):
        if leg.number != number or leg.state_before != before:
            raise RunError(
                f"{where}: leg {leg.number} does not begin where leg {number - 1} ended. The legs "
                "are out of order, or one is missing. Take the parcel of the last leg."
            )
        before = leg.state_after


def write_legs(folder: Path, legs: Sequence[Leg]) -> None:
    """Write the record of all legs, atomically."""
    lines = [to_line(leg.to_json()).decode() for leg in legs]
    write_text(folder / LEGS_FILE, "".join(lines))


def check_follows(there: Sequence[Leg], given: Sequence[Leg], folder: Path) -> None:
    """Raise `RunError` unless a parcel's legs go on from those of a folder.

    Args:
        there: Legs of the folder.
        given: Legs of the parcel.
        folder: For the message.
    """
    common = all(a.state_after == b.state_after for a, b in zip(there, given, strict=False))
    if common and len(given) > len(there):
        return
    last = len(there)
    if common:
        what = f"it is already at leg {last}, the parcel at leg {len(given)}"
    else:
        what = f"its {last} legs are not those of the parcel, which is of another relay or branch"
    raise RunError(
        f"{folder}: {what}. Legs must be accepted in order: take the parcel of leg {last + 1} or "
        "later, or another folder."
    )


def legs_text(legs: Sequence[Leg]) -> str:
    """Return the legs as a table."""
    rows = [
        f"  {leg.number:>3}  {leg.by:<16} {leg.hours:>8.2f} h  "
        + ", ".join(f"{name} {leg.begun.get(name, 0)} to {end}" for name, end in leg.ended.items())
        for leg in legs
    ]
    return "\n".join(["  leg  by                   time", *rows])
