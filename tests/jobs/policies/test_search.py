"""The space of policies, what a policy is worth, and the search against all policies of a small space."""

import itertools
import random

import pytest

from efn_compose.evolve.genetic.crossover.uniform_stages import UniformStages
from efn_compose.evolve.genetic.mutation.heavy_tailed import HeavyTailed
from efn_compose.evolve.workers.task import Outcome
from efn_compose.jobs.policies.expected import (
    NOTHING,
    WANTING,
    Measured,
    expected,
    pairs_of,
    policy_loss,
)
from efn_compose.jobs.policies.measurements import in_order
from efn_compose.jobs.policies.search import search_policies
from efn_compose.jobs.policies.space import PolicySpace, strengths
from efn_compose.train.augment.policies.tables import LIMITS, SPACES
from efn_compose.train.augment.policies.written import parse_policy, policy_text

SMALL = PolicySpace(2, {"identity": (0.0,), "rotate": (15.0, 30.0), "equalize": (0.0,)}, (0.5, 1.0))


def measured_by_chance(space, seed):
    """Return a loss and a change for every pair of steps, drawn; nothing done changes nothing."""
    generator = random.Random(seed)
    table = {
        pair: Measured(generator.random(), generator.uniform(1, 20))
        for pair in itertools.product(space.steps, repeat=2)
    }
    return table | {(NOTHING, NOTHING): Measured(0.0, 0.0)}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_search_finds_the_best_of_all_policies_of_a_small_space(seed):
    table = measured_by_chance(SMALL, seed)

    def loss(genome):
        return policy_loss(SMALL.decode(genome), table.__getitem__, 4.0)

    everything = {SMALL.canonical(g) for g in itertools.product(*map(range, SMALL.cardinalities))}
    best = min(everything, key=lambda genome: (loss(genome), genome))
    asked = []

    def losses(genomes):
        asked.extend(genomes)
        return [loss(genome) for genome in genomes]

    assert search_policies(SMALL, 400, seed, losses) == (best, loss(best))
    assert len(asked) == len(set(asked)) <= 400 and set(asked) <= everything
    assert loss(best) < WANTING / 2


def test_the_loss_of_a_policy_is_its_mean_over_all_that_may_happen():
    policy = parse_policy("rotate 0.25 30, equalize 0.5 0; rotate 1 15")
    table = measured_by_chance(SMALL, 3)
    total = 0.0
    for steps in policy:
        for happens in itertools.product([0, 1], repeat=2):
            chance, deeds = 1.0, []
            for does, (name, probability, size) in zip(happens, steps, strict=True):
                chance *= probability if does else 1 - probability
                deeds.append((name, size) if does else NOTHING)
            total += chance * table[tuple(deeds)].loss / len(policy)
    assert policy_loss(policy, table.__getitem__, 0.0) == pytest.approx(total)
    assert all(sum(pairs_of(steps).values()) == pytest.approx(1) for steps in policy)


def test_a_sub_policy_that_changes_too_little_or_comes_twice_is_wanting():
    table = measured_by_chance(SMALL, 4)
    idle, turned = parse_policy("identity 1 0"), parse_policy("rotate 1 30")
    alone = expected(turned, table.__getitem__)[0]
    assert policy_loss(turned, table.__getitem__, 0.5) == alone.loss
    assert policy_loss(turned, table.__getitem__, alone.change + 0.01) == WANTING
    assert policy_loss(idle, table.__getitem__, 0.5) == WANTING
    assert policy_loss(idle, table.__getitem__, 0.0) == 0
    twice = parse_policy("rotate 1 30; rotate 0.5 15")
    assert policy_loss(twice, table.__getitem__, 0.0) == (alone.loss + WANTING) / 2


def test_strengths_lie_in_the_published_range_and_reach_its_end():
    ends = {row.operation: row.strongest for row in SPACES["trivial"]}
    for name, sizes in strengths().items():
        low, high = LIMITS.get(name, (0, 0))
        assert all(low <= size <= high for size in sizes) and sizes[-1] == ends[name]


def test_genomes_of_one_policy_are_one_and_operators_keep_the_space():
    space, generator = PolicySpace(3), random.Random(1)
    for _ in range(50):
        genome = space.draw(generator)
        steps = [genome[a:b] for a, b in space.clusters]
        pairs = list(zip(steps[::2], steps[1::2], strict=True))
        generator.shuffle(pairs)
        shuffled = [gene for pair in pairs for step in pair for gene in step]
        assert space.canonical(shuffled) == genome
        assert parse_policy(policy_text(space.decode(genome))) == space.decode(genome)
        other = UniformStages().cross(genome, space.draw(generator), space, generator)[0]
        child = HeavyTailed().mutate(space.canonical(other), space, generator)
        assert all(0 <= gene < n for gene, n in zip(child, space.cardinalities, strict=True))
        assert space.canonical(space.canonical(child)) == space.canonical(child)
    names = {name for steps in space.decode(space.pure(1)) for name, _, _ in steps}
    assert names == {space.operations[1], "identity"}


def test_answers_are_taken_in_the_order_of_the_tasks():
    outcomes = [(task, Outcome(task, None, 0, 0.0)) for task in (2, 0, 1)]
    found = list(in_order(lambda tasks: iter(outcomes), [0, 1, 2]))
    assert [(task, outcome.value) for task, outcome in found] == [(0, 0), (1, 1), (2, 2)]
