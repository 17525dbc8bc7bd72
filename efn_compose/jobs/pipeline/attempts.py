"""Attempts at a chapter: one that is stopped or killed costs time, too."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from efn_compose.analysis.reading.story_lines import (
    BEGUN,
    STOPPED,
    earlier_attempts,
    killed_attempt,
)
from efn_compose.store import RunFolder


class Attempt:
    """A chapter at work.

    Args:
        earlier: Seconds of each attempt before this one.
    """

    def __init__(self, earlier: list[float]) -> None:
        self._earlier, self._begun = earlier, time.perf_counter()

    @property
    def own_seconds(self) -> float:
        """Seconds of this attempt."""
        return time.perf_counter() - self._begun

    def timing(self) -> dict[str, float]:
        """Return the seconds of all attempts together, and how many there were."""
        total = sum(self._earlier) + self.own_seconds
        return {"seconds": round(total, 3), "attempts": len(self._earlier) + 1}


@contextmanager
def attempting(folder: RunFolder, name: str) -> Iterator[Attempt]:
    """Note in the journal that a chapter begins, and when it stops before its end.

    A killed attempt cannot note its end. It counts until the last change in the chapter's folder.

    Args:
        folder: The pipeline's.
        name: The chapter's, and of its folder.
    """
    begun = killed_attempt(folder.journal, name)
    if begun is not None:
        _stop(folder, name, max(0.0, _last_change(folder.path / name) - begun))
    attempt = Attempt(earlier_attempts(folder.journal, name))
    folder.journal.append({"event": BEGUN, "of": name, "timing": {"at": round(time.time(), 3)}})
    try:
        yield attempt
    except BaseException:
        _stop(folder, name, attempt.own_seconds)
        raise


def _stop(folder: RunFolder, name: str, seconds: float) -> None:
    record = {"event": STOPPED, "of": name, "timing": {"seconds": round(seconds, 3)}}
    folder.journal.append(record)


def _last_change(place: Path) -> float:
    """Return when a file below a folder last changed, in Unix seconds; 0 without any."""
    return max((path.stat().st_mtime for path in place.rglob("*") if path.is_file()), default=0.0)
