"""The end of a leg: early enough that its parcel is written in time."""

import signal
import threading
import time
from types import FrameType, TracebackType

from efn_compose.errors import ConfigError
from efn_compose.jobs.hours import checked_hours

#: Share of a leg that is kept for stopping workers and writing; its fewest and most seconds.
_RESERVE, _LEAST_RESERVE, _MOST_RESERVE = 0.02, 15.0, 120.0


class TimeIsUp(KeyboardInterrupt):
    """The leg's hours are over. Like Ctrl-C it may come anywhere: what is on the disk counts."""


class Deadline:
    """Ends the work inside a `with` block by `TimeIsUp`.

    A fiftieth of the time, 15 seconds to two minutes, is kept for stopping and for writing the
    parcel; of a very short leg, half. An epoch ends the work earlier where the time left is shorter
    than two epochs, so that no half epoch is lost.

    Args:
        hours: From now on; 0: no end.

    Raises:
        ConfigError: The hours are below 0, or no number; or it is not the main thread, where alone a
            signal can end the work.

    Example:
        >>> with Deadline(0) as deadline:
        ...     deadline.after_epoch(1e9)
    """

    def __init__(self, hours: float) -> None:
        seconds = checked_hours(hours) * 3600
        reserve = min(max(_RESERVE * seconds, _LEAST_RESERVE), _MOST_RESERVE, seconds / 2)
        self._seconds = seconds - reserve
        self._end = time.monotonic() + self._seconds
        if hours and threading.current_thread() is not threading.main_thread():
            raise ConfigError("--hours can end a job in the main thread only.")

    def __enter__(self) -> "Deadline":
        if self._seconds:
            signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, max(self._end - time.monotonic(), 1e-3))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._seconds:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def after_epoch(self, seconds: float) -> None:
        """Say how long an epoch took that is on the disk now.

        Raises:
            TimeIsUp: Another one might not be.
        """
        if self._seconds and time.monotonic() + 2 * seconds > self._end:
            raise TimeIsUp

    @staticmethod
    def _ring(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp
