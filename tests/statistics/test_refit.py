"""Refitting compositions: against a block's own least squares, and inside an evaluation."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from random_donors import search_donors

from efn_compose.compose import Recipe, genome_space
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask, FinishTask
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.statistics.refit import CompositionRefit


@pytest.fixture(scope="module")
def setting():
    donors = search_donors()
    space = genome_space(donors[0].spec, 2, "block")
    images = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3)).astype(np.uint8)
    return donors, space, images


def _refit(donors, images):
    first = donors[0]
    return CompositionRefit(first.spec, first.conventions, [d.tensors for d in donors], images)


def _mixed(space, place):
    genome = list(space.pure(0))
    genome[place] = 1
    return Recipe.genome(tuple(genome))


def _block_of(space, place):
    (segment,) = space.loci[place].segments
    return segment


def _outputs(donor, tensors, images, block):
    network = StepwiseNetwork(donor.spec, donor.conventions, tensors)
    return network.run(donor.preprocess(images), last_block=block).numpy()


def _places(space):
    return [n for n, locus in enumerate(space.loci) if "block" in locus.segments[0]]


def test_a_foreign_block_comes_nearer_to_the_hosts_output(setting):
    donors, space, images = setting
    place = _places(space)[3]
    recipe, block = _mixed(space, place), _block_of(space, place)
    tensors = recipe.compose(space, [d.tensors for d in donors])
    refitted = _refit(donors, images).apply(tensors, recipe.host(space))
    aim = _outputs(donors[0], donors[0].tensors, images, block)
    before = np.square(_outputs(donors[0], tensors, images, block) - aim).mean()
    after = np.square(_outputs(donors[0], refitted, images, block) - aim).mean()
    # The mean of the aim alone, the fit that knows nothing, must lie behind too.
    constant = np.square(aim - aim.mean(axis=(0, 1, 2))).mean()
    assert after < 0.5 * min(before, constant)


def test_only_the_project_layers_of_mixed_blocks_lose_their_weights(setting):
    donors, space, images = setting
    place = _places(space)[3]
    recipe, block = _mixed(space, place), _block_of(space, place)
    tensors = recipe.compose(space, [d.tensors for d in donors])
    refitted = _refit(donors, images).apply(tensors, 0)
    changed = {
        name.rpartition("/")[0]
        for name in tensors
        if "moving" not in name and not np.array_equal(tensors[name], refitted[name])
    }
    assert changed == {f"{block}_project_conv", f"{block}_project_bn"}


def test_a_composition_of_nothing_but_the_host_comes_back_untouched(setting):
    donors, space, images = setting
    tensors = Recipe.genome(space.pure(1)).compose(space, [d.tensors for d in donors])
    refitted = _refit(donors, images).apply(tensors, 1)
    assert all(np.array_equal(refitted[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    ("recipe", "host"),
    [
        (lambda space: Recipe.genome(space.pure(1)), 1),
        (lambda space: _mixed(space, 2), 0),
        (lambda space: Recipe.average(2), 0),
        (lambda space: Recipe.average_of([0, 1, 1], 2), 1),
    ],
)
def test_the_host_is_whoever_most_comes_from(setting, recipe, host):
    _, space, _ = setting
    assert recipe(space).host(space) == host


@pytest.mark.slow
def test_an_evaluation_refits_mixtures_and_averages_and_nothing_else(setting):
    donors, space, images = setting
    labels = np.arange(48, dtype=np.int32) % 3
    data = SimpleNamespace(classes=3, size=32, train_images=images, train_labels=labels)
    for part in ("validation", "test"):
        setattr(data, f"{part}_images", images[:16])
        setattr(data, f"{part}_labels", labels[:16])
    tensors = [donor.tensors for donor in donors]
    trained = tensors[0] | {
        "predictions/kernel": np.ones((donors[0].spec.top_channels, 3), np.float32),
        "predictions/bias": np.zeros(3, np.float32),
    }
    mixed = _mixed(space, _places(space)[3])
    whole = Recipe.genome(space.pure(0))
    losses, kernels = {}, {}
    block = _block_of(space, _places(space)[3])
    setup = WorkerSetup(donors[0].spec, donors[0].conventions, FitnessOptions())
    evaluator = setup.make_worker(data)
    for refit in (False, True):
        # The network is traced alike for both.
        evaluator.setup = dataclasses.replace(setup, fitness=FitnessOptions(refit=refit))
        evaluator.sit(Seat(space, tensors))
        for name, recipe in {"mixed": mixed, "average": Recipe.average(2), "whole": whole}.items():
            found = EvaluationTask(recipe, seed=1).run(evaluator)
            losses[name, refit] = found.scores["validation"]["loss"]
        kernels[refit] = FinishTask(mixed).run(evaluator)[f"{block}_project_conv/kernel"]
        evaluator.sit(Seat(space, [trained, trained]))
        found = EvaluationTask(mixed, seed=1).run(evaluator)
        losses["trained", refit] = found.scores["validation"]["loss"]
    assert losses["whole", True] == losses["whole", False]
    assert losses["trained", True] == losses["trained", False]
    assert losses["mixed", True] != losses["mixed", False]
    assert losses["average", True] != losses["average", False]
    # What is written is what was evaluated.
    assert not np.array_equal(kernels[True], kernels[False])
    expected = _refit(donors, images).apply(mixed.compose(space, tensors), 0)
    np.testing.assert_allclose(
        kernels[True], expected[f"{block}_project_conv/kernel"], rtol=1e-3, atol=1e-5
    )
