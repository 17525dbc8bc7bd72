"""Saliency as a task: how much each unit of a donor matters on the training images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.compose.units import contributions
from efn_compose.data.pixels import take
from efn_compose.donors import Donor
from efn_compose.evolve.workers.task import Task

if TYPE_CHECKING:
    from efn_compose.evolve.workers.evaluator import Evaluator


@dataclass(frozen=True)
class SaliencyTask(Task):
    """Weigh the units of a donor on training images.

    Args:
        donor: Donor number.
        image_count: Training images to look at.
        seed: Chooses the positions that are looked at.
    """

    donor: int
    image_count: int
    seed: int

    def run(self, worker: "Evaluator") -> dict[str, np.ndarray]:
        """Return how much each unit moves the residual stream: (unit,) by expanded group."""
        from efn_compose.donors.alignment.activations import channel_deviations

        images = take(worker.data.train_images, slice(self.image_count))
        tensors = dict(worker.donors[self.donor])
        donor = Donor("donor", worker.setup.spec, worker.setup.conventions, tensors)
        with worker.own_threads():
            return contributions(donor, channel_deviations(donor, images, seed=self.seed))
