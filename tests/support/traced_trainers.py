"""Networks traced once for several runs of one recipe, all of which start from nothing."""

import pytest

from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.jobs.pretraining.worker import PretrainWorker
from efn_compose.jobs.study.worker import StudyWorker
from efn_compose.jobs.trainings.worker import TrainingWorker
from efn_compose.train.recipe import Trainer


def share_trainers(patch: pytest.MonkeyPatch, traced: dict[object, Trainer]) -> None:
    """Let workers take a trainer that a run before has traced, as they do between trainings.

    Never share one with a run that goes on where another ended: what a state forgets to hold
    might still be in the trainer.

    Args:
        patch: Ends it.
        traced: Trainers by network and recipe; grows.
    """
    original = TrainingWorker._made

    def made(self, donor, data):
        key = (donor.fingerprint, self.setup.train, self.setup.metric, data.classes)
        if key not in traced:
            traced[key] = original(self, donor, data)
        return traced[key]

    patch.setattr(TrainingWorker, "_made", made)


def share_pretrainers(patch: pytest.MonkeyPatch, traced: dict[str, Trainer]) -> None:
    """Let workers of pretrainings of one network and recipe do so, under the same condition.

    Args:
        patch: Ends it.
        traced: Trainers by the worker's name for them; grows.
    """
    original = PretrainWorker.trainer

    def trainer(self, name, make):
        if name not in traced:
            traced[name] = original(self, name, make)
        return traced[name]

    patch.setattr(PretrainWorker, "trainer", trainer)


def share_search_workers(patch: pytest.MonkeyPatch) -> None:
    """Let searches of one setup and one data set share a worker, under the same condition.

    Args:
        patch: Ends it.
    """
    made, make = {}, WorkerSetup.make_worker

    def make_once(setup, data, device=None):
        key = (repr(setup), data.fingerprint, repr(device))
        if key not in made:
            made[key] = make(setup, data, device)
        return made[key]

    patch.setattr(WorkerSetup, "make_worker", make_once)


def share_study_trainers(patch: pytest.MonkeyPatch, traced: dict[object, Trainer]) -> None:
    """Let workers of studies do so, under the same condition.

    Args:
        patch: Ends it.
        traced: Trainers by network and recipe; grows.
    """
    original = StudyWorker.trainer

    def trainer(self, plan, donor, classes):
        key = (plan.network, plan.spec, donor.conventions, plan.train, classes, self.setup.metric)
        if key not in traced:
            traced[key] = original(self, plan, donor, classes)
        return traced[key]

    patch.setattr(StudyWorker, "trainer", trainer)
