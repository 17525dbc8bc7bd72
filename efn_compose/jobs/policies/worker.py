"""What a worker of a search for a policy owns, and its tasks: to score pairs of steps, and to train."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from efn_compose.data.pixels import take
from efn_compose.donors import Donor
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.evolve.workers.task import Task
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.policies.expected import Measured, Pair
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.jobs.trainings.unfinished import state_of
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.options import TrainOptions

if TYPE_CHECKING:
    from efn_compose.jobs.policies.scoring import Scorer
    from efn_compose.train.recipe import Trainer


@dataclass(frozen=True)
class PolicySetup:
    """Everything a worker needs but the images.

    Args:
        entries: Run folder or trainings, which all workers can read.
        finding: By fold, the numbers of the held-out images that score policies.
        judging: By fold, the numbers of those that compare policies.
        donor: What fresh trainings start from.
        train: Their recipe.
        augment: Their augmentation, but for the policy.
        seed: Of the ways that operations go.
        folder: Where a training keeps what a killed one goes on from.
        threads: TensorFlow threads of a worker; 0: as the process has them.
    """

    entries: tuple[str, ...]
    finding: Mapping[int, np.ndarray]
    judging: Mapping[int, np.ndarray]
    donor: Donor
    train: TrainOptions
    augment: AugmentOptions
    seed: int
    folder: str
    threads: int = 1

    def make_worker(self, data: FoldedImages, device: Device) -> "PolicyWorker":
        """Prepare this process' device and return a worker on it."""
        if self.threads:
            prepare_device(device, self.threads)
        return PolicyWorker(self, data)


class PolicyWorker(Worker):
    """Owns the trained networks, and one traced network for fresh trainings.

    Args:
        setup: Networks, recipe and images of either purpose.
        data: Images and folds.
    """

    def __init__(self, setup: PolicySetup, data: FoldedImages) -> None:
        super().__init__()
        self.setup, self.data = setup, data

    @cached_property
    def scorer(self) -> "Scorer":
        """What asks the trained networks."""
        from efn_compose.jobs.policies.scoring import Scorer
        from efn_compose.jobs.predictions.networks import find_networks

        networks = find_networks(self.setup.entries)
        return Scorer(networks, self.data, self.setup.finding, self.setup.seed)

    @cached_property
    def trainer(self) -> "Trainer":
        """The traced trainer of fresh trainings."""
        from efn_compose.train.objectives.of_options import classification
        from efn_compose.train.recipe import Trainer

        classes = len(self.data.class_names)
        return Trainer(self.setup.donor, classification(classes, self.setup.train))


@dataclass(frozen=True)
class ScoreTask(Task):
    """What one network makes of its held-out images under pairs of steps.

    Args:
        network: Its number.
        pairs: The pairs; none: TrivialAugment instead.
    """

    is_limited: ClassVar[bool] = False

    network: int
    pairs: tuple[Pair, ...]

    def run(self, worker: PolicyWorker) -> Sequence[Measured]:
        """Return a measurement per pair, or the one of TrivialAugment."""
        if not self.pairs:
            return [worker.scorer.trivial(self.network)]
        return worker.scorer.pairs(self.network, self.pairs)


@dataclass(frozen=True)
class FreshTraining(Task):
    """A training under a policy, for the verdict.

    Args:
        arm: "found" or "trivial".
        policy: As `augment.auto` takes it.
        fold: The fold that is left out; half of its images judge.
        seed: Of head, order, augmentation and dropout.
    """

    is_limited: ClassVar[bool] = False

    arm: str
    policy: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the training in the journal."""
        return f"{self.arm}_fold{self.fold}_seed{self.seed}"

    def run(self, worker: PolicyWorker) -> Mapping[str, float]:
        """Make the training, or what is left of it, and return "loss", "accuracy" and others."""
        from efn_compose.jobs.trainings.cells import CellResult
        from efn_compose.train.recipe import fit

        setup = worker.setup
        data, numbers = worker.data.part(self.fold)
        judging = np.flatnonzero(np.isin(numbers, setup.judging[self.fold]))
        data = dataclasses.replace(
            data,
            validation_images=take(data.validation_images, judging),
            validation_labels=data.validation_labels[judging],
        )
        augment = dataclasses.replace(setup.augment, auto=self.policy)
        state = state_of(setup.folder, self.name)
        trainer = worker.trainer
        fitted = fit(
            setup.donor, data, augment=augment, seed=self.seed, state_file=state, trainer=trainer
        )
        nothing = np.zeros((0, data.classes), np.float32)
        return CellResult.of(fitted, setup.train.keep, judging[:0], nothing).scores
