"""What is believed of genomes, on losses that are known exactly."""

import random
import statistics

import pytest

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.estimates import FitnessTable, paired_noise
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.kinds.genetic import Genetic

SPACE = GenomeSpace(arch_spec("lite0"), 3, "block")


def test_generation_effects_are_removed():
    # True losses 1, 2, 3; the second generation's seed adds 10 to everybody.
    table = FitnessTable()
    table.add_generation({(0,): 1.0, (1,): 2.0})
    table.add_generation({(0,): 11.0, (2,): 13.0})
    assert table.generation_effects == [0.0, 10.0]
    means = {genome: estimate.mean for genome, estimate in table.estimates().items()}
    assert means == {(0,): 1.0, (1,): 2.0, (2,): 3.0}


def test_failed_genomes_are_known_but_never_ranked():
    table = FitnessTable()
    table.add_generation({(0,): 1.0, (1,): None})
    assert table.ranked() == [(0,)]
    assert table.genomes == {(0,), (1,)}


def test_leaders_are_the_first_of_a_full_ranking():
    generator = random.Random(3)
    table = FitnessTable()
    for _ in range(20):
        drawn = {(generator.randrange(40),): round(generator.gauss(1, 0.2), 1) for _ in range(8)}
        failed = {(generator.randrange(40),): None} if generator.random() < 0.5 else {}
        table.add_generation({**drawn, **failed})
        found = table.estimates()
        # Rounded losses tie: the smaller genome comes first.
        ranked = sorted(found, key=lambda genome: (found[genome].shrunk, genome))
        for count in (1, 5, 100):
            assert list(table.leaders(count)) == ranked[:count]
        assert table.leaders(3) == {genome: found[genome].shrunk for genome in ranked[:3]}


def test_shrinkage_picks_better_genomes_than_the_smallest_single_score():
    """Brute force: true losses N(0, 1), noise N(0, 1), half of the genomes run three times."""
    gain = []
    for seed in range(300):
        generator = random.Random(seed)
        truth = {(n,): generator.gauss(0, 1) for n in range(30)}
        table = FitnessTable()
        often = list(truth)[:15]
        table.add_generation({g: t + generator.gauss(0, 1) for g, t in truth.items()})
        for _ in range(2):
            table.add_generation({g: truth[g] + generator.gauss(0, 1) for g in often})
        found = table.estimates()
        by_mean = min(found, key=lambda genome: found[genome].mean)
        gain.append(truth[by_mean] - truth[table.ranked()[0]])
    mean = statistics.fmean(gain)
    assert mean > 2 * statistics.stdev(gain) / len(gain) ** 0.5


def test_donors_worse_than_what_is_bred_from_them_are_believed_to_be():
    """A donor is run once, in the first generation; what is bred later is better, and lies close together."""
    errors = []
    for seed in range(200):
        generator = random.Random(seed)
        truth = {(0,): 1.0} | {(n,): generator.gauss(1.0, 0.06) for n in range(1, 12)}
        table = FitnessTable(0.03**2, 4)
        table.add_generation({g: loss + generator.gauss(0, 0.03) for g, loss in truth.items()})
        for generation in range(1, 6):
            newcomers = {(12 * generation + n,): generator.gauss(0.9, 0.03) for n in range(9)}
            truth |= newcomers
            asked = [*table.leaders(3), *newcomers]
            table.add_generation({g: truth[g] + generator.gauss(0, 0.03) for g in asked})
        errors.append(table.estimates()[(0,)].shrunk - 1.0)
    # By the spread of the better half alone the error is 0.035.
    assert abs(statistics.fmean(errors)) < 0.02


def test_elites_falling_back_to_normal_do_not_flatter_newcomers():
    """All genomes are equal and luck is all there is: nothing may seem to improve."""
    beliefs, effects = [], []
    for seed in range(30):
        generator = random.Random(seed)
        search = GeneticSearch(SPACE, Genetic(population=16), seed, noise=(0.01, 4))
        for _ in range(10):
            luck = generator.gauss(0, 0.05)
            search.tell({g: 0.5 + luck + generator.gauss(0, 0.1) for g in search.ask()})
        beliefs.append(search.table.estimates()[search.best()].shrunk)
        effects.append(search.table.generation_effects[-1])
    assert statistics.fmean(beliefs) == pytest.approx(0.5, abs=0.1)
    assert statistics.fmean(effects) == pytest.approx(0.0, abs=0.1)


def test_paired_noise_leaves_out_what_a_seed_does_to_all():
    generator = random.Random(0)
    luck = [generator.gauss(0, 1) for _ in range(4000)]
    first = [1 + seed + generator.gauss(0, 0.1) for seed in luck]
    second = [2 + seed + generator.gauss(0, 0.1) for seed in luck]
    variance, freedom = paired_noise(first, second)
    assert variance == pytest.approx(0.01, rel=0.1)
    assert freedom == 3999
    assert paired_noise(first, [])[0] == pytest.approx(1.01, rel=0.1)
