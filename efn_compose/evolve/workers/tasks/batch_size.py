"""The largest batch that a worker's memory holds, found by trying."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator


@dataclass(frozen=True)
class BatchSizeTask(Task):
    """Find the largest batch that a worker's memory holds, by trying.

    Args:
        limit_bytes: Memory that a worker may take; its card's where that is less.
        most: Largest batch worth trying.
    """

    limit_bytes: float
    most: int

    def run(self, worker: "Evaluator") -> list[tuple[int, int]]:
        """Return the batch sizes that fit and the peak of memory with each, in bytes."""
        from efn_compose.models.memory import largest_batch, peak_bytes, training_bytes
        from efn_compose.train.engine.placement import USABLE_SHARE, accelerator_bytes
        from efn_compose.train.resident.resident import batches

        device, limit = worker.network.placement.device, self.limit_bytes
        if device == "gpu":
            limit = min(limit, USABLE_SHARE * accelerator_bytes())
        worker.network.load(worker.donors[0], seed=0)

        def step(batch: int) -> None:
            worker.train_in_order(batches(batch, batch) % len(worker.data.train_labels))

        each = training_bytes(worker.setup.spec, worker.data.size)
        return list(largest_batch(step, lambda: peak_bytes(device), limit, self.most, each))
