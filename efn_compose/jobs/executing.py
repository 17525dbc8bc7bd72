"""Tasks on the executor that a configuration asks for, while a `with` block lasts."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.worker import Setup


class Answering(Protocol):
    """Answers tasks; see `answering`."""

    def __call__(self, tasks: Sequence[Task], /) -> Iterator[tuple[Any, Outcome]]:
        """Yield each task with its outcome, in the order they finish."""


@contextmanager
def answering(
    setup: Setup,
    data: Any,
    options: ExecutorOptions,
    note: Callable[[str], None],
    *,
    most: int,
    alone: Setup | None = None,
) -> Iterator[Answering]:
    """Start workers for long tasks, and stop them at the end of the block.

    Args:
        setup: Makes the worker of each process.
        data: What the workers work on.
        options: The `[executor]` section.
        note: Told what a person should know.
        most: Tasks that can run side by side; further workers are not started. Without any,
            nothing is started.
        alone: Makes the worker where tasks run in this process: it may have all of the process'
            threads, and be watched. None for `setup`.

    Raises:
        RunError: There is nothing to run on.
    """
    if not most:
        yield lambda tasks: iter(())
        return
    from efn_compose.evolve.workers.executor import make_executor
    from efn_compose.evolve.workers.table import EXECUTORS

    if most == 1:
        # One task needs no further process.
        options = dataclasses.replace(options, workers=1)
    if EXECUTORS[options.chosen].is_in_process and alone is not None:
        setup = alone
    executor = make_executor(setup, data, options, note, most)

    def run(tasks: Sequence[Task]) -> Iterator[tuple[Any, Outcome]]:
        for position, outcome in executor.run(tasks):
            yield tasks[position], outcome

    try:
        yield run
    finally:
        executor.close()
