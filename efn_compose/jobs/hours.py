"""The hours that a person gives a job: how many, or until when."""

import re
from datetime import datetime, timedelta

from efn_compose.errors import ConfigError

#: A century, which timers of the system hold.
_MOST = 876_600


def checked_hours(hours: float) -> float:
    """Return hours that a job may take.

    Args:
        hours: 0: no limit.

    Raises:
        ConfigError: The hours are below 0, more than a century, or no number.

    Example:
        >>> checked_hours(29.9)
        29.9
    """
    if not 0 <= hours <= _MOST:
        raise ConfigError(f"--hours: allowed 0 (no limit) to {_MOST:,}. Received: {hours:g}.")
    return hours


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
