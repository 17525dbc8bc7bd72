"""Networks traced once for several runs of one recipe, whose values are spoilt before a run goes on."""

from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.jobs.pretraining.worker import PretrainWorker
from efn_compose.jobs.study.worker import StudyWorker
from efn_compose.jobs.trainings.worker import TrainingWorker
from efn_compose.train.recipe import Trainer


def share_trainers(patch: pytest.MonkeyPatch, traced: dict[object, Trainer]) -> None:
    """Let workers take a trainer that a run before has traced, as they do between trainings.

    Before a run that goes on where another ended, `spoil` the trainers: what a state forgets to
    hold must not still be there.

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


def share_search_workers(
    patch: pytest.MonkeyPatch, made: dict[object, Any] | None = None
) -> dict[object, Any]:
    """Let searches of one setup and one data set share a worker, under the same condition.

    Args:
        patch: Ends it.
        made: Workers by setup and data; grows.

    Returns:
        The workers.
    """
    made = {} if made is None else made
    make = WorkerSetup.make_worker

    def make_once(setup, data, device=None):
        key = (repr(setup), data.fingerprint, repr(device))
        if key not in made:
            made[key] = make(setup, data, device)
        return made[key]

    patch.setattr(WorkerSetup, "make_worker", make_once)
    return made


def share_study_trainers(patch: pytest.MonkeyPatch, traced: dict[object, Trainer]) -> None:
    """Let workers of studies do so, under the same condition.

    Args:
        patch: Ends it.
        traced: Trainers by network and recipe; grows.
    """
    original = StudyWorker.trainer

    def trainer(self, plan, donor, classes):
        key = (plan.traced, donor.conventions, classes, self.setup.metric)
        if key not in traced:
            traced[key] = original(self, plan, donor, classes)
        traced[key].set_epochs(plan.train.epochs)
        return traced[key]

    patch.setattr(StudyWorker, "trainer", trainer)


def spoil(trainers: Iterable[object]) -> None:
    """Make every number that trainers hold useless, as if another process had them: NaN, or 77.

    Whatever a training does not set itself, or read from its state, then spoils its result.

    Args:
        trainers: Trainers or workers.
    """
    found = {id(variable): variable for one in trainers for variable in _variables(one)}
    assert len(found) > 20, "few variables: they are kept where nobody looks"
    for variable in found.values():
        wrong = np.nan if variable.dtype.is_floating else 77
        variable.assign(tf.cast(tf.fill(tf.shape(variable), wrong), variable.dtype))


def _variables(start: object) -> Iterator[tf.Variable]:
    """Yield all variables that can be reached from an object of ours or of Keras."""
    waiting: list[Any] = [start]
    seen: dict[int, Any] = {}
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, tf.Variable):
            yield thing
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, list | tuple | set):
            waiting += thing
        elif isinstance(thing, MethodType):
            waiting.append(thing.__self__)
        elif isinstance(thing, FunctionType):
            waiting += [cell.cell_contents for cell in thing.__closure__ or ()]
        elif not isinstance(thing, type) and type(thing).__module__.startswith(
            ("efn_compose", "keras")
        ):
            waiting += getattr(thing, "__dict__", {}).values()
