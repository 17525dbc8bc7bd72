"""A sibling: a donor trained on a share of the training images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator


@dataclass(frozen=True)
class SiblingTask(Task):
    """Train a donor on one share of the training images and return its weights.

    Args:
        donor: Donor number.
        seed: Decides head, order and dropout.
        share: Which of `share_count` equal, disjoint shares of the training images.
        share_count: Number of shares.
        partition_seed: Decides the shares; common to all siblings of a run.
    """

    donor: int
    seed: int
    share: int
    share_count: int
    partition_seed: int

    def run(self, worker: "Evaluator") -> dict[str, np.ndarray]:
        """Return the weights after training, by canonical name."""
        worker.load(worker.donors[self.donor], self.seed)
        generator = np.random.default_rng([self.partition_seed, 3])
        shuffled = generator.permutation(len(worker.data.train_labels))
        share = np.sort(np.array_split(shuffled, self.share_count)[self.share])
        order = share[worker.network.epoch_order(len(share), self.seed)].astype(np.int32)
        worker.train_in_order(order)
        worker.recalibrate()
        return worker.network.tensors()
