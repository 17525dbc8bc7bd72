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

import importlib
import resource
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, cast

from efn_compose.errors import EfnComposeError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.seat import Seat, Ticket
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.worker import Setup, Worker


class Executor(Protocol):
    """Answers tasks; see the promises above."""

    #: Told what a person should know.
    note: Callable[[str], None]
    #: What its workers run on: "cpu", "gpu" or "tpu".
    device: str

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


class ExecutorClass(Protocol):
    """What a line of the table names: makes an executor, and can be tried out."""

    def __call__(
        self,
        setup: Setup,
        data: Any,
        options: ExecutorOptions,
        note: Callable[[str], None] | None = None,
        most: int | None = None,
    ) -> Executor:
        """Return an executor with its workers on their way.

        Args:
            setup: Makes the worker of each process.
            data: What the workers work on.
            options: Number of workers, device, limits.
            note: Told what a person should know; a warning by default.
            most: Tasks that can run side by side; no more workers than that are started, also where
                their number is left open. None: nobody knows.

        Raises:
            RunError: There is nothing to run on.
        """

    def try_out(self) -> str:
        """Start as a run would, get one question answered, and say what there is.

        Raises:
            RunError: No right answer came.
        """


def executor_class(kind: str) -> ExecutorClass:
    """Return the class of a kind of executor, imported now.

    Args:
        kind: A name of the table.
    """
    module, _, name = EXECUTORS[kind].place.partition(":")
    return cast(ExecutorClass, getattr(importlib.import_module(module), name))


def make_executor(
    setup: Setup,
    data: Any,
    options: ExecutorOptions,
    note: Callable[[str], None] | None = None,
    most: int | None = None,
) -> Executor:
    """Return the executor that the options ask for, its workers on their way.

    Args:
        setup: Makes the worker of each process.
        data: What the workers work on.
        options: The `[executor]` section.
        note: Told what a person should know; a warning by default.
        most: Tasks that can run side by side; None: nobody knows.

    Raises:
        RunError: There is nothing to run on.
    """
    return executor_class(options.chosen)(setup, data, options, note, most)


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
        # A deliberate error says itself where.
        is_bug = not isinstance(exception, EfnComposeError)
        location = f" ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})" if is_bug else ""
        error = f"{type(exception).__name__}: {str(exception)[:500]}{location}"
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(value, error, number, time.perf_counter() - start, memory_mb)
