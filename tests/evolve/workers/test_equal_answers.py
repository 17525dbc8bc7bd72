"""The same task gives the same answer, bit for bit, whichever executor of the table is asked."""

import numpy as np
import pytest
from executor_kinds import KINDS, started, values
from worker_setups import AUGMENT, DONORS, MIXED, SEAT, SPACE, nano_data

from efn_compose.compose import Recipe
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.evolve.workers.tasks import EvaluationTask, FinishTask, SiblingTask

#: Augmented, so that the contract holds with it; other tests run without.
SETUP = WorkerSetup(
    DONORS[0].spec, DONORS[0].conventions, FitnessOptions(batch_size=12), augment=AUGMENT
)
GENOMES = [SPACE.pure(0), SPACE.pure(1), MIXED, SPACE.pure(0)]
TASKS = [
    EvaluationTask(Recipe.genome(genome), seed, parts=("validation", "test"))
    for seed in (1, 2)
    for genome in GENOMES
] + [EvaluationTask(Recipe.average(2), 1)]
MAKING = [SiblingTask(0, 5, 1, 2, 9), FinishTask(Recipe.genome(MIXED))]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return nano_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def first(data):
    """An executor within this process, and what it answered when asked nothing else before."""
    with started("serial", SETUP, data) as executor:
        yield executor, values(executor, TASKS + MAKING, SEAT)


@pytest.fixture(scope="module")
def alone(first):
    """What a worker that was asked nothing else answers."""
    return first[1]


@pytest.fixture(scope="module", params=KINDS)
def executor(request, first, data):
    if request.param == "serial":
        # Traced once: now it is asked in another order, after all that it has answered.
        yield first[0]
    else:
        with started(request.param, SETUP, data) as executor:
            yield executor


@pytest.mark.slow
def test_scores_do_not_depend_on_the_executor_or_on_what_came_before(executor, alone):
    scores = [found.scores for found in alone[: len(TASKS)]]
    assert scores[0] == scores[3], "same genome, same seed, another candidate in between"
    assert scores[0] != scores[4], "another seed"
    found = values(executor, list(reversed(TASKS)), SEAT)
    assert [evaluation.scores for evaluation in reversed(found)] == scores


@pytest.mark.slow
def test_weights_do_not_depend_on_them_either(executor, alone):
    for ours, theirs in zip(alone[len(TASKS) :], values(executor, MAKING, SEAT), strict=True):
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name])
