"""The executor contract: what everything that answers tasks promises.

- Each task is answered exactly once, by its position.
- A task is taken from what is given only when a worker is free for it, so that a
  search can make it from all answers so far.
- A task that raises, and a worker that dies, become an `Outcome` with an error,
  never an exception out of `run` and never a missing answer.
- Answers depend on the task, its seat and the data only, not on the worker, on the
  number of workers, or on what a worker did before.
- A seat travels to a worker at most once in a row, and only the latest is kept.
"""

import resource
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from efn_compose.evolve.workers.seat import Seat, Ticket
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.worker import Worker


class Executor(Protocol):
    """Answers tasks; see the promises above."""

    #: Told what a person should know.
    note: Callable[[str], None]

    @property
    def workers(self) -> int:
        """Number of workers."""

    def run(self, tasks: Iterable[Task], seat: Seat | None = None) -> Iterator[tuple[int, Outcome]]:
        """Yield (position, outcome) of every task, in the order they finish.

        Args:
            tasks: Taken one by one, whenever a worker is free.
            seat: What their donor numbers mean; None for tasks that number no donors.
        """

    def close(self) -> None:
        """Stop all workers; calling it twice does no harm."""


def answer(worker: Worker, task: Task, number: int, seat: Ticket | None = None) -> Outcome:
    """Answer one task in a worker, turning an exception into an outcome with its reason.

    Args:
        worker: What the executor's setup made.
        task: The task.
        number: Of the worker.
        seat: Where the worker is to sit, fetched if it sits elsewhere.
    """
    start = time.perf_counter()
    value, error = None, None
    try:
        if seat is None:
            worker.stand_up()
        else:
            worker.sit(seat)
        value = task.run(worker)
    except Exception as exception:  # a worker answers in any case
        where = traceback.extract_tb(exception.__traceback__)[-1]
        location = f"{where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
        error = f"{type(exception).__name__}: {str(exception)[:500]} ({location})"
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(value, error, number, time.perf_counter() - start, memory_mb)
