"""The end of the time, as an interruption of whatever is going on."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from efn_compose.jobs.hours import checked_hours


class TimeIsUpError(KeyboardInterrupt):
    """The time is up. To whoever works it is what Ctrl-C is: files are whole, runs go on later."""


class Alarm:
    """Counts down to the end.

    Args:
        hours: Until then; 0: there is no end.

    Raises:
        ConfigError: The hours are below 0, or no number.
    """

    def __init__(self, hours: float = 0.0) -> None:
        self._end = time.monotonic() + 3600 * checked_hours(hours) if hours else None

    def hours_left(self) -> float:
        """Return the hours that are left, 0 if there is no end, never less than a millisecond."""
        if self._end is None:
            return 0.0
        return max(self._end - time.monotonic(), 0.001) / 3600

    def is_over(self) -> bool:
        """Return whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Interrupt the block when the time is up; in a thread, where nothing can, do not.

        Raises:
            TimeIsUpError: At the end.
        """
        if not self._can_ring:
            yield
            return

        def ring(*_: Any) -> None:
            raise TimeIsUpError

        before = signal.signal(signal.SIGALRM, ring)
        self._wind()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Do not interrupt the block, which ends in time by itself; afterwards go on as before."""
        if self._can_ring:
            signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            yield
        finally:
            if self._can_ring:
                self._wind()

    @property
    def _can_ring(self) -> bool:
        return self._end is not None and threading.current_thread() is threading.main_thread()

    def _wind(self) -> None:
        if self._end is not None:
            signal.setitimer(signal.ITIMER_REAL, max(self._end - time.monotonic(), 0.001))
