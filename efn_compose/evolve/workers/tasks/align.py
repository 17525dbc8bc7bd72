"""Alignment as a task: donors of other lineages in the channel basis of the first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from efn_compose.data.pixels import take
from efn_compose.donors import Donor
from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator


@dataclass(frozen=True)
class AlignTask(Task):
    """Write donors of other lineages in the channel basis of the first.

    Args:
        donors: Harmonised donors; the first is the reference.
        image_count: Training images to fit on.
        seed: Chooses the positions that are compared.
    """

    donors: tuple[Donor, ...]
    image_count: int
    seed: int

    def run(self, worker: "Evaluator") -> list[Donor]:
        """Return the donors in the first one's channel basis, fitted on training images."""
        from efn_compose.donors.alignment.align import align

        images = take(worker.data.train_images, slice(self.image_count))
        with worker.own_threads():
            return align(self.donors, images, seed=self.seed).donors
