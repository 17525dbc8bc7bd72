"""The time a run has used, over all processes that worked on it."""

import statistics
import time
from collections import deque
from typing import Any

#: Evaluations whose time says how long the next ones take, and the latest of them. A machine that
#: others begin to use is slow from then on, long before the median of a hundred says so.
_RECENT, _LATEST = 101, 11


class RunClock:
    """Counts the seconds a run has been worked on; pauses between processes are left out.

    Every journal line holds the count at its time. Only differences of a clock that
    never jumps enter it: setting the computer's time changes nothing.

    Args:
        started: When this process began to work, on `time.monotonic`; now by default.
    """

    def __init__(self, started: float | None = None) -> None:
        self._started = time.monotonic() if started is None else started
        self._before = 0.0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    @property
    def seconds(self) -> float:
        """Seconds used so far."""
        return self._before + time.monotonic() - self._started

    @property
    def seconds_per_evaluation(self) -> float | None:
        """Median wall time of recent evaluations in a worker, or of the latest if that is longer.

        None before the first.
        """
        if not self._recent:
            return None
        recent = list(self._recent)
        return max(statistics.median(recent), statistics.median(recent[-_LATEST:]))

    def take(self, record: dict[str, Any], is_replayed: bool) -> None:
        """Take a journal line, written now or by an earlier process."""
        timing = record.get("timing", {})
        if is_replayed:
            self._before = max(self._before, float(timing.get("elapsed", 0.0)))
        if timing.get("wall_seconds"):
            self._recent.append(float(timing["wall_seconds"]))
