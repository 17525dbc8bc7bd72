"""What a worker of a study owns: images, donors, and one traced network at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.study.functions import (
    FunctionClassification,
    FunctionTrainer,
    pixel_donor,
)
from efn_compose.jobs.study.plans import Plan
from efn_compose.jobs.study.starts import CUT_IMAGES, donor_start, random_start, spread_numbers
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.train.objectives.of_options import classification
from efn_compose.train.recipe import Trainer

#: Images by data set and size.
StudyImages = Mapping[tuple[str, int], FoldedImages]


@dataclass(frozen=True)
class StudySetup:
    """Everything a worker needs but the images.

    Args:
        donors: By name.
        plans: One per point.
        folder: Where a training keeps what a killed one goes on from.
        metric: "accuracy" or "auc".
        threads: TensorFlow threads of a worker; 0: as this process has them.
    """

    donors: Mapping[str, Donor]
    plans: Sequence[Plan]
    folder: str
    metric: str = "accuracy"
    threads: int = 1

    def make_worker(self, data: StudyImages, device: Device) -> "StudyWorker":
        """Prepare this process' device and return a worker on it."""
        if self.threads:
            prepare_device(device, self.threads)
        return StudyWorker(self, data)


class StudyWorker(Worker):
    """Owns what trainings of a study need.

    Args:
        setup: Donors and plans.
        data: Images and folds.
    """

    def __init__(self, setup: StudySetup, data: StudyImages) -> None:
        super().__init__()
        self.setup, self.data = setup, data
        self._trainer: tuple[object, Trainer] | None = None
        self._start: tuple[object, Donor] | None = None

    def plan(self, point: int) -> Plan:
        """Return the plan of a point.

        Raises:
            ConfigError: The point cannot be trained.
        """
        plan = self.setup.plans[point]
        if plan.problem:
            raise ConfigError(plan.problem)
        return plan

    def start(self, plan: Plan, fold: int, seed: int) -> Donor:
        """Return the starting weights of a training.

        Args:
            plan: Of its point.
            fold: Whose images are not looked at.
            seed: Draws random weights.
        """
        donor = self.setup.donors[plan.weights]
        if plan.function:
            return pixel_donor(donor)
        if plan.start == "random":
            return random_start(donor, plan.architecture, seed)
        key = (plan.weights, plan.spec, plan.source, plan.side, fold)
        if self._start is None or self._start[0] != key:
            data = self.data[plan.source, plan.side]
            chosen = spread_numbers(np.flatnonzero(data.fold != fold), CUT_IMAGES)
            self._start = (key, donor_start(donor, plan.architecture, data.images[chosen]))
        return self._start[1]

    def trainer(self, plan: Plan, donor: Donor, classes: int) -> Trainer:
        """Return the traced trainer of a point's network and recipe.

        Args:
            plan: Of the point.
            donor: Says how the weights are run.
            classes: Width of the classifier.
        """
        key = (plan.traced, donor.conventions, classes)
        if self._trainer is None or self._trainer[0] != key:
            self._trainer = None  # the old network's memory first
            metric, function = self.setup.metric, plan.function
            if function:
                foreign = FunctionClassification(classes, plan.train, metric, function)
                self._trainer = (key, FunctionTrainer(donor, foreign))
            else:
                self._trainer = (key, Trainer(donor, classification(classes, plan.train, metric)))
        trainer = self._trainer[1]
        trainer.set_epochs(plan.train.epochs)
        return trainer
