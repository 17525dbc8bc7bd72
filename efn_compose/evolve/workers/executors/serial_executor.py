"""All work in this process, one task after another: the reference for all other executors."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.executor import answer
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.worker import Setup
from efn_compose.store.environment import usable_cores


class SerialExecutor:
    """Answers tasks one after another in this process.

    Args:
        setup: Makes the worker.
        data: What the worker works on.
        options: The device; "auto" is the processor.
        note: Told what a person should know; a warning by default.
        most: As of all executors; here tasks never run side by side.

    Example:
        >>> executor = SerialExecutor(setup, data, ExecutorOptions())  # doctest: +SKIP
        >>> dict(executor.run(tasks, Seat(space, donors)))  # doctest: +SKIP
    """

    workers = 1

    def __init__(
        self,
        setup: Setup,
        data: Any,
        options: ExecutorOptions,
        note: Callable[[str], None] | None = None,
        most: int | None = None,
    ) -> None:
        self.note = note or (lambda text: warnings.warn(text, stacklevel=3))
        self.device = "cpu" if options.device == "auto" else options.device
        self._worker = setup.make_worker(data, Device(self.device, options.gpu_memory_mb))

    @staticmethod
    def try_out() -> str:
        """Say what this process has; it needs no starting."""
        return f"{usable_cores()} usable cores, one task at a time"

    def run(self, tasks: Iterable[Task], seat: Seat | None = None) -> Iterator[tuple[int, Outcome]]:
        """Yield (position, outcome) of every task, in order."""
        for position, task in enumerate(tasks):
            yield position, answer(self._worker, task, 0, seat)

    def close(self) -> None:
        """Do nothing: there are no workers to stop."""
