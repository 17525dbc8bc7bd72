"""A chunk of images as a task, so that all workers of a machine or a cluster can predict."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.data import ImageTable
from efn_compose.errors import EvaluationError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.evolve.workers.executor import make_executor
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.predictions.networks import find_networks
from efn_compose.jobs.predictions.stream import CHUNK, read_chunk
from efn_compose.train.tta import TtaOptions

if TYPE_CHECKING:
    from efn_compose.jobs.predictions.panel import Panel

#: Numbers of images, the networks' answers and all views' answers.
Answered = tuple[np.ndarray, np.ndarray, np.ndarray]


class PredictionWorker(Worker):
    """Owns the networks, traced when they are first asked, and the table of images.

    Args:
        panel: The networks.
        table: The images.
    """

    def __init__(self, panel: "Panel", table: ImageTable) -> None:
        super().__init__()
        self.panel, self.table = panel, table


@dataclass(frozen=True)
class PredictionSetup:
    """Makes workers, each of which reads the weights for itself.

    Args:
        entries: Run folders and weight files, which all workers can read.
        size: Pixels; 0: as each network was trained.
        tta: Views; None: those of each training.
        temperatures: Of each network's logits; empty: 1.
        threads: TensorFlow threads of a worker; 0: as the process has them.
    """

    entries: tuple[str, ...]
    size: int
    tta: TtaOptions | None
    temperatures: tuple[float, ...]
    threads: int = 1

    def make_worker(self, data: ImageTable, device: Device) -> PredictionWorker:
        """Prepare this process' device and return a worker on it."""
        from efn_compose.jobs.predictions.panel import Panel

        if self.threads:
            prepare_device(device, self.threads)
        networks = find_networks(self.entries, self.size)
        return PredictionWorker(Panel(networks, self.tta, self.temperatures), data)


@dataclass(frozen=True)
class PredictionTask(Task):
    """Asks all networks about a chunk of images.

    Args:
        start: Number of the first image.
        stop: Number after the last one.
    """

    start: int
    stop: int

    def run(self, worker: PredictionWorker) -> tuple[Answered | None, list[tuple[int, str]]]:
        """Return the answers; or none, and place and reason of each image that cannot be decoded."""
        numbers = np.arange(self.start, self.stop)
        pixels, failures = read_chunk(worker.table, worker.panel.sizes, numbers)
        if failures:
            return None, failures
        answers, every = worker.panel.ask(pixels, numbers)
        return (numbers, answers, every), []


def ask_workers(
    setup: PredictionSetup,
    table: ImageTable,
    options: ExecutorOptions,
    note: Callable[[str], None],
    refuse: Callable[[Sequence[tuple[int, str]]], Exception],
) -> Iterator[Answered]:
    """Yield the answers to all images of a table, in order; a few chunks are in memory.

    Args:
        setup: Makes the workers.
        table: The images.
        options: Where the workers are.
        note: Told what a person should know.
        refuse: Makes the error of images that cannot be decoded; they are collected first.

    Raises:
        EvaluationError: A worker cannot answer.
    """
    tasks = [
        PredictionTask(start, min(start + CHUNK, len(table)))
        for start in range(0, len(table), CHUNK)
    ]
    executor = make_executor(setup, table, options, note, max(1, len(tasks)))
    waiting: dict[int, Outcome] = {}
    failures: list[tuple[int, str]] = []
    following = 0
    try:
        for position, outcome in executor.run(tasks):
            waiting[position] = outcome
            while following in waiting:
                found = waiting.pop(following)
                following += 1
                if found.error:
                    raise EvaluationError(f"images cannot be predicted: {found.error}")
                answered, wrong = found.value
                failures += wrong
                if not failures:
                    yield answered
    finally:
        executor.close()
    if failures:
        raise refuse(failures)
