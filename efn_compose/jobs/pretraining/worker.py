"""What a worker of pretrainings owns: images, the donor, and one traced network at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.donors import Donor, load_donor
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.pretraining.images import PretrainImages
from efn_compose.jobs.pretraining.verdict import ABSORBED
from efn_compose.jobs.trainings.worker import unwatched
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.engine.options import HeadStart
from efn_compose.train.objectives.objective import Objective
from efn_compose.train.recipe import Trainer
from efn_compose.train.recipe.inputs import drawn
from efn_compose.train.recipe.trainer import FitWatcher
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions

#: Images whose statistics are taken, as a pretraining does after every epoch.
_STATISTICS = 1024


@dataclass(frozen=True)
class PretrainSetup:
    """Everything a worker needs but the images.

    Args:
        donor: Starting weights.
        folders: Folder of each pretraining by its name; workers must be able to write there.
        pretrain: Settings of the methods.
        views: What makes views differ.
        augment: What is done to each image before.
        judge_epochs: Of a short training.
        seed: Of the run.
        judge_head: How the classifier of a short training begins.
        threads: TensorFlow threads of a worker; 0: as this process has them.
        watch: Makes what watches a pretraining, from its name.
    """

    donor: Donor
    folders: Mapping[str, str]
    pretrain: PretrainOptions
    views: ViewOptions
    augment: AugmentOptions
    judge_epochs: int
    seed: int
    judge_head: HeadStart = "random"
    threads: int = 1
    watch: Callable[[str], FitWatcher] = unwatched

    def make_worker(self, data: PretrainImages, device: Device) -> "PretrainWorker":
        """Prepare this process' device and return a worker on it."""
        if self.threads:
            prepare_device(device, self.threads)
        return PretrainWorker(self, data)


class PretrainWorker(Worker):
    """Owns what pretrainings and their verdict need; of all networks one is kept traced.

    Args:
        setup: Methods and weights.
        data: All images.
    """

    def __init__(self, setup: PretrainSetup, data: PretrainImages) -> None:
        super().__init__()
        self.setup, self.data = setup, data
        self._trainer: tuple[str, Trainer] | None = None
        self._arm: tuple[str, Donor, np.ndarray] | None = None

    def trainer(self, name: str, make: Callable[[], Objective]) -> Trainer:
        """Return the traced network for an objective.

        Args:
            name: Of the objective.
            make: Makes it where it is not the one at hand.
        """
        if self._trainer is None or self._trainer[0] != name:
            self._trainer = None  # the old network's memory first
            self._trainer = (name, Trainer(self.setup.donor, make()))
        return self._trainer[1]

    def arm(self, name: str) -> tuple[Donor, np.ndarray]:
        """Return a network to judge, and its pooled features of the labelled images.

        Args:
            name: Of a pretraining, or `ABSORBED`.
        """
        if self._arm is None or self._arm[0] != name:
            donor = self._donor(name)
            labelled = self.data.labelled
            images = self.data.unlabelled[:0] if labelled is None else labelled.images
            self._arm = (name, donor, pooled_features(donor, images))
        return self._arm[1], self._arm[2]

    def _donor(self, name: str) -> Donor:
        if name != ABSORBED:
            return load_donor(Path(self.setup.folders[name]) / "last.h5")
        images = drawn(self.data.unlabelled, _STATISTICS, self.setup.seed)
        return absorb_statistics(self.setup.donor.without_head(), images, "all")


def pooled_features(donor: Donor, images: PixelArray) -> np.ndarray:
    """Return a donor's pooled features of images, (image, feature) float32.

    Args:
        donor: The network.
        images: (image, size, size, 3) uint8.
    """
    from efn_compose.models.memory import inference_batch
    from efn_compose.train.engine.forward import Forward

    model = donor.build(include_top=False)
    ask = Forward(lambda pixels: model(pixels, training=False), donor.spec, donor.conventions)
    step = inference_batch(donor.spec, int(images.shape[1]))
    parts = [
        ask(images[start : start + step]).mean(axis=(1, 2)) for start in range(0, len(images), step)
    ]
    return np.concatenate(parts)
