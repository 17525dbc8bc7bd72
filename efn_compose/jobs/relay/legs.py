"""The legs of a relay: who worked how long, from which state to which, chained by hashes."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.analysis.reading.figures import progress_text
from efn_compose.errors import RunError
from efn_compose.store import write_text
from efn_compose.store.journal import to_line
from efn_compose.store.run_folder import LEGS_FILE, OPEN_LEG_FILE


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


@dataclass(frozen=True)
class OpenLeg:
    """A leg that began where another one ended, and has not ended itself.

    A killed one goes on by the same command. What its folder holds meanwhile is nobody's
    state, so that nothing compares it with a hash.

    Args:
        state_before: Of the leg.
        is_unpacked: Whether all files of its parcel are there.
    """

    state_before: str
    is_unpacked: bool

    def write(self, folder: Path) -> None:
        """Write it into a run folder, atomically."""
        write_text(folder / OPEN_LEG_FILE, json.dumps(dataclasses.asdict(self)) + "\n")


def open_leg(folder: Path, state_before: str) -> OpenLeg | None:
    """Return the leg that was begun in a folder from a state and has not ended; None without one.

    Args:
        folder: The run folder.
        state_before: Where the leg begins. A leg that began elsewhere has ended since.
    """
    path = folder / OPEN_LEG_FILE
    try:
        found = OpenLeg(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{path}: damaged ({error}). Accept the parcel in a new folder.") from None
    return found if found.state_before == state_before else None


def close_leg(folder: Path) -> None:
    """Say that no leg is open in a folder any more."""
    (folder / OPEN_LEG_FILE).unlink(missing_ok=True)


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
        "later, or another folder. If the folder's own parcel was never written, write it: --resume "
        f"of the run's verb, with -o {folder} --parcel FILE."
    )


def legs_text(legs: Sequence[Leg]) -> str:
    """Return the legs as a table."""
    rows = [
        f"  {leg.number:>3}  {leg.by:<16} {leg.hours:>8.2f} h  {progress_text(leg.begun, leg.ended)}"
        for leg in legs
    ]
    return "\n".join(["  leg  by                   time", *rows])
