"""How long an answer may take before its worker counts as hanging."""

import statistics
from collections import defaultdict, deque
from collections.abc import Hashable

#: Answers of a pace before their median is trusted, and how many it is taken over.
_LEAST, _RECENT = 5, 101
#: Times the median that an answer may take, once there is one.
_FACTOR = 10.0
#: Added to the multiple of the median: short evaluations may wait for a disk or a neighbour.
_FLOOR_SECONDS = 30.0


class TimeLimit:
    """A limit that follows the running median of answers of one pace (`Task.pace`).

    Args:
        first_seconds: The limit until a median is known, doubled by every further attempt at a
            task, which may be long and not hang; ten times the median and half a minute after that.

    Example:
        >>> limit = TimeLimit(first_seconds=900)
        >>> [limit.seconds("evaluation", attempt) for attempt in (1, 2, 3)]
        [900, 1800, 3600]
        >>> for seconds in (6, 6, 6, 7, 20):
        ...     limit.take("evaluation", seconds)
        >>> limit.seconds("evaluation"), limit.seconds("other")
        (90.0, 900)
    """

    def __init__(self, first_seconds: float) -> None:
        self._first = first_seconds
        self._times: defaultdict[Hashable, deque[float]] = defaultdict(
            lambda: deque(maxlen=_RECENT)
        )

    def take(self, pace: Hashable, seconds: float) -> None:
        """Learn how long an answer took."""
        self._times[pace].append(seconds)

    def seconds(self, pace: Hashable, attempt: int = 1) -> float:
        """Return the limit for an attempt at a task of a pace, from 1."""
        times = self._times[pace]
        if len(times) < _LEAST:
            return self._first * 2 ** (attempt - 1)
        return _FLOOR_SECONDS + _FACTOR * statistics.median(times)
