"""Absorption as a task: a donor over the statistics of the training images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from efn_compose.data.pixels import take
from efn_compose.donors import Donor
from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator
    from efn_compose.statistics.absorb import Part


@dataclass(frozen=True)
class AbsorbTask(Task):
    """Write a donor over the statistics of training images, its function kept.

    Args:
        donor: The donor.
        image_count: Training images to take the statistics of.
        part: Of the donor: all, or its body.
    """

    donor: Donor
    image_count: int
    part: "Part"

    def run(self, worker: "Evaluator") -> Donor:
        """Return the donor of the same function."""
        from efn_compose.statistics.absorb import absorb_statistics

        images = take(worker.data.train_images, slice(self.image_count))
        return absorb_statistics(self.donor, images, self.part)
