"""The moment from which on a job only finishes what it has."""

import math
import re
import time
from datetime import datetime, timedelta

from efn_compose.errors import ConfigError


class Deadline:
    """Counts down from the moment it is made.

    Args:
        hours: Until the end; 0: there is none.

    Example:
        >>> Deadline(0).is_over(), Deadline(8).is_over()
        (False, False)
    """

    def __init__(self, hours: float) -> None:
        self._end = time.monotonic() + 3600 * hours if hours else math.inf

    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end


def hours_until(clock: str, now: datetime | None = None) -> float:
    """Return the hours until a time of day, today or tomorrow.

    Args:
        clock: "HH:MM", local time.
        now: Default: the present.

    Raises:
        ConfigError: Not a time of day.

    Example:
        >>> hours_until("02:00", datetime(2020, 5, 1, 23, 30))
        2.5
    """
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", clock)
    if not match:
        raise ConfigError(f"--until: expected a time of day such as 02:00. Received: {clock!r}.")
    now = now or datetime.now()  # noqa: DTZ005 - the clock on the wall
    end = now.replace(hour=int(match[1]), minute=int(match[2]), second=0, microsecond=0)
    if end <= now:
        end += timedelta(days=1)
    return (end - now).total_seconds() / 3600
