"""The executor contract, and its reference implementation in this process.

Promises every executor keeps:
- each task is answered exactly once, by its position;
- a task is taken from what is given only when a worker is free for it, so that a
  search can make it from all answers so far;
- a task that raises, and a worker that dies, become an `Outcome` with an error,
  never an exception out of `run` and never a missing answer;
- answers depend on the task, the donors and the data only, not on the worker,
  on the number of workers, or on what a worker did before.
"""

import resource
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from efn_compose.compose import GenomeSpace
from efn_compose.compose.compose import Tensors
from efn_compose.data import DataSet
from efn_compose.evolve.workers.task import Outcome, Task


class Executor(Protocol):
    """Answers tasks; see the promises above."""

    workers: int

    def set_donors(self, space: GenomeSpace, donors: Sequence[Tensors]) -> None:
        """Give all workers the donors that genomes number."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Outcome]]:
        """Yield (position, outcome) of every task, in the order they finish."""

    def close(self) -> None:
        """Stop all workers; calling it twice does no harm."""


def answer(worker: Any, task: Task, number: int) -> Outcome:
    """Answer one task in a worker, turning an exception into an outcome with its reason.

    Args:
        worker: What the executor's setup made.
        task: The task.
        number: Of the worker.
    """
    start = time.perf_counter()
    value, error = None, None
    try:
        value = task.run(worker)
    except Exception as exception:  # a worker answers, whatever happened to the candidate
        where = traceback.extract_tb(exception.__traceback__)[-1]
        location = f"{where.filename.rsplit('/', 1)[-1]}:{where.lineno}"
        error = f"{type(exception).__name__}: {str(exception)[:500]} ({location})"
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Outcome(value, error, number, time.perf_counter() - start, memory_mb)


class SerialExecutor:
    """Answers tasks one after another in this process.

    Args:
        setup: Conventions, fitness and threads; a `WorkerSetup`.
        data: Images and labels.

    Example:
        >>> executor = SerialExecutor(setup, data)  # doctest: +SKIP
        >>> executor.set_donors(space, donors)  # doctest: +SKIP
        >>> dict(executor.run(tasks))  # doctest: +SKIP
    """

    workers = 1

    def __init__(self, setup: Any, data: DataSet) -> None:
        self._worker = setup.make_worker(data)

    def set_donors(self, space: GenomeSpace, donors: Sequence[Tensors]) -> None:
        """Give the evaluator the donors that genomes number."""
        self._worker.set_donors(space, donors)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Outcome]]:
        """Yield (position, outcome) of every task, in order."""
        for position, task in enumerate(tasks):
            yield position, answer(self._worker, task, 0)

    def close(self) -> None:
        """Do nothing: there are no workers to stop."""
