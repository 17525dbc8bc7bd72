"""The base of every task, and the answer that comes back."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar


class Task(ABC):
    """One piece of work for a worker: small fields that travel, and the work itself.

    A task is pickled, so its fields are values, not open files or models. What it needs beyond
    them the worker owns. The work must depend on both alone: not on which worker does it, nor on
    what that worker did before.

    Example:
        >>> class Double(Task):
        ...     def run(self, worker):
        ...         return 2 * worker
        >>> Double().run(21), Double().pace
        (42, 'Double')
    """

    #: Whether a worker counts as hanging when this takes far longer than tasks of its pace do.
    is_limited: ClassVar[bool] = True

    @property
    def pace(self) -> Hashable:
        """What tasks that take about equally long have in common; here the kind of task."""
        return type(self).__name__

    @abstractmethod
    def run(self, worker: Any) -> Any:
        """Do the work in a worker and return the answer, which travels back.

        Args:
            worker: What the executor's setup made in the worker's process.
        """


@dataclass(frozen=True)
class Outcome:
    """A worker's answer to any task; a failure is an answer too.

    Args:
        value: What the task returned, or None.
        error: Why there is no value.
        worker: Number of the worker.
        seconds: Wall time in the worker.
        memory_mb: Resident memory of the worker afterwards.
        attempts: How many workers it took.
    """

    value: Any
    error: str | None
    worker: int
    seconds: float
    memory_mb: float = 0.0
    attempts: int = 1
