"""What a worker of trainings owns: images, starting weights, and one traced network at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from efn_compose.donors import Donor
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.objectives.options import ObjectiveOptions
from efn_compose.train.objectives.segmentation import Segmentation
from efn_compose.train.recipe import Trainer, TrainingData, TrainOptions
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
        objective: What the trainings are for.
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
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
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

    def trainer(self, variant: str, data: TrainingData) -> Trainer:
        """Return the traced trainer of a network.

        Args:
            variant: The network.
            data: Its classes say how many outputs the network has.
        """
        if variant not in self._trainers:
            # The old network's memory first.
            self._trainers.clear()
            self._trainers[variant] = self._made(self.setup.donors[variant], data)
        return self._trainers[variant]

    def _made(self, donor: Donor, data: TrainingData) -> Trainer:
        setup = self.setup
        if setup.objective.kind == "segment":
            purpose = Segmentation(len(data.mask_names), setup.train, setup.objective)
            return Trainer(donor, purpose)
        return make_trainer(donor, data.classes, setup.train, setup.semi, setup.metric)
