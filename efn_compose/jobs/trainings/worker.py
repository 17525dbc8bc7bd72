"""What a worker of trainings owns: images, starting weights, and one traced network at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from efn_compose.donors import Donor
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import Trainer, TrainOptions
from efn_compose.train.recipe.trainer import FitWatcher, Silent
from efn_compose.train.semi.fit import make_trainer
from efn_compose.train.semi.options import SemiOptions
from efn_compose.train.tta.options import TtaOptions


def unwatched(name: str) -> FitWatcher:
    """Watch a training without a word: nobody sees into another process."""
    return Silent()


@dataclass(frozen=True)
class TrainingSetup:
    """Everything a worker needs but the images.

    Args:
        donors: Starting weights by variant.
        folders: Folder of each training by its name; workers must be able to write there.
        train: The recipe.
        augment: What is done to each training image.
        tta: Views of each validation image.
        semi: What is done with unlabelled images.
        metric: "accuracy" or "auc".
        threads: TensorFlow threads of a worker; 0: as this process has them.
        watch: Makes what watches a training, from its name.
    """

    donors: Mapping[str, Donor]
    folders: Mapping[str, str]
    train: TrainOptions
    augment: AugmentOptions
    tta: TtaOptions
    semi: SemiOptions
    metric: str = "accuracy"
    threads: int = 1
    watch: Callable[[str], FitWatcher] = unwatched

    def make_worker(self, data: FoldedImages, device: Device) -> "TrainingWorker":
        """Prepare this process' device and return a worker on it."""
        if self.threads:
            prepare_device(device, self.threads)
        return TrainingWorker(self, data)


class TrainingWorker(Worker):
    """Owns what trainings need; of all networks one is kept traced.

    Args:
        setup: Recipe and weights.
        data: Images and folds.
    """

    def __init__(self, setup: TrainingSetup, data: FoldedImages) -> None:
        super().__init__()
        self.setup, self.data = setup, data
        self._trainers: dict[str, Trainer] = {}

    def trainer(self, variant: str, classes: int) -> Trainer:
        """Return the traced trainer of a network.

        Args:
            variant: The network.
            classes: Width of its classifier.
        """
        if variant not in self._trainers:
            # The old network's memory first.
            self._trainers.clear()
            setup = self.setup
            self._trainers[variant] = make_trainer(
                setup.donors[variant], classes, setup.train, setup.semi, setup.metric
            )
        return self._trainers[variant]
