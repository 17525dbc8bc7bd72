"""What runs in the process of each of Ray's workers."""

import platform
from dataclasses import dataclass
from typing import Any

from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.executor import answer
from efn_compose.evolve.workers.executors.worker_check import describe_process
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.task import Outcome, Task
from efn_compose.evolve.workers.worker import Setup, Worker
from efn_compose.quiet_import import import_tensorflow_quietly


@dataclass(frozen=True)
class StoredSeat:
    """A seat in the object store: its name, and where a worker that needs it finds it.

    Args:
        fingerprint: Of the seat.
        reference: To the seat; Ray leaves it as it is within a dataclass, so that
            nothing is read before it is asked for.
    """

    fingerprint: str
    reference: Any

    def fetch(self) -> Seat:
        """Return the seat; its arrays lie in the store, shared by all workers of the node."""
        import ray

        return ray.get(self.reference)


class WorkerProcess:
    """A process with the worker that the setup makes, for its whole life; Ray calls it an actor.

    Args:
        number: Of the worker.
    """

    def __init__(self, number: int) -> None:
        import_tensorflow_quietly()
        self._number, self._problem = number, "worker was asked before it began"
        self._worker = Worker()

    def hello(self) -> dict[str, str]:
        """Say what this process runs, and on which node."""
        import ray

        node = ray.get_runtime_context().get_node_id()
        return {**describe_process(), "node": f"{platform.node()} (Ray's {node[:8]})"}

    def begin(self, setup: Setup, data: Any, device: Device) -> None:
        """Make the worker."""
        try:
            self._worker, self._problem = setup.make_worker(data, device), ""
        except Exception as error:  # told with the next answer, where somebody listens
            self._problem = f"worker cannot begin: {type(error).__name__}: {error}"

    def answer(self, task: Task, seat: StoredSeat | None) -> Outcome:
        """Answer a task at its seat, or say why there is no worker."""
        if self._problem:
            return Outcome(None, self._problem, self._number, 0.0)
        return answer(self._worker, task, self._number, seat)
