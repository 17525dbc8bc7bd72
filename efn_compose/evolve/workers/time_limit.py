"""How long an answer may take before its worker counts as hanging."""

import statistics
from collections import defaultdict, deque
from collections.abc import Hashable

from efn_compose.evolve.workers.tasks import EvaluationTask, Task

#: Answers of a kind before their median is trusted, and how many it is taken over.
_LEAST, _RECENT = 5, 101
#: Added to the multiple of the median: short evaluations may wait for a disk or a neighbour.
_FLOOR_SECONDS = 30.0


class TimeLimit:
    """A limit that follows the running median of answers of the same kind.

    Args:
        first_seconds: The limit until a median is known.
        factor: Times the median that an answer may take, after that.

    Example:
        >>> limit = TimeLimit(first_seconds=900, factor=10)
        >>> for seconds in (6, 6, 6, 7, 20):
        ...     limit.take("evaluation", seconds)
        >>> limit.seconds("evaluation"), limit.seconds("other")
        (90.0, 900)
    """

    def __init__(self, first_seconds: float, factor: float) -> None:
        self._first, self._factor = first_seconds, factor
        self._times: defaultdict[Hashable, deque[float]] = defaultdict(
            lambda: deque(maxlen=_RECENT)
        )

    def take(self, kind: Hashable, seconds: float) -> None:
        """Learn how long an answer took."""
        self._times[kind].append(seconds)

    def seconds(self, kind: Hashable) -> float:
        """Return the limit for a kind of task."""
        times = self._times[kind]
        if len(times) < _LEAST:
            return self._first
        return _FLOOR_SECONDS + self._factor * statistics.median(times)


def task_kind(task: Task) -> Hashable:
    """Return what tasks of about equal length have in common."""
    if isinstance(task, EvaluationTask):
        return "evaluation", task.epochs, task.parts
    return type(task).__name__
