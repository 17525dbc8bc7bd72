"""Operators, estimates and the generation loop, on losses that are known exactly."""

import itertools
import random
import statistics

import pytest

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.estimates import FitnessTable, paired_noise
from efn_compose.evolve.genetic.operators import breed, cross, mutate, select
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.journal.seeds import PURPOSES, derive_seed
from efn_compose.evolve.options import SearchOptions

SPACE = GenomeSpace(arch_spec("lite0"), 3, "block")


def _random_genome(generator):
    return tuple(generator.randrange(3) for _ in SPACE.loci)


def test_crossover_keeps_every_gene_at_its_locus():
    generator = random.Random(0)
    for _ in range(200):
        first, second = _random_genome(generator), _random_genome(generator)
        for child in (children := cross(first, second, SPACE, generator)):
            SPACE.check(child)
        for locus, (a, b) in enumerate(zip(*children, strict=True)):
            assert {a, b} == {first[locus], second[locus]} or a == b == first[locus]
            assert sorted((a, b)) == sorted((first[locus], second[locus]))


def test_most_crossovers_cut_at_stage_borders_only():
    generator = random.Random(1)
    zeros, ones = SPACE.pure(0), SPACE.pure(1)
    clean = 0
    for _ in range(300):
        child = cross(zeros, ones, SPACE, generator)[0]
        cuts = {n for n in range(1, len(child)) if child[n] != child[n - 1]}
        clean += cuts <= set(SPACE.stage_borders)
    assert clean >= 300 * 0.75


def test_mutation_changes_a_gene_and_stays_in_range():
    generator = random.Random(2)
    changes = []
    for _ in range(300):
        genome = _random_genome(generator)
        child = SPACE.check(mutate(genome, SPACE, 1.5, generator))
        changes.append(sum(a != b for a, b in zip(genome, child, strict=True)))
    assert statistics.fmean(changes) < 4
    assert sum(change == 0 for change in changes) < 60  # a stage may get the donor it has


def test_mutation_reaches_every_gene_and_value():
    generator = random.Random(3)
    seen = set()
    for _ in range(2000):
        child = mutate(SPACE.pure(0), SPACE, 1.5, generator)
        seen |= {(locus, gene) for locus, gene in enumerate(child)}
    assert seen == set(itertools.product(range(len(SPACE.loci)), range(3)))


def test_selection_pressure_matches_tournament_theory():
    # P(best of n in a tournament of k with replacement) = 1 - (1 - 1/n)^k.
    losses = {(n,): float(n) for n in range(10)}
    chosen = select(losses, 20_000, 3, random.Random(4))
    assert chosen.count((0,)) / 20_000 == pytest.approx(1 - 0.9**3, abs=0.01)


def test_operators_leave_the_global_generator_alone():
    random.seed(5)
    expected = random.getstate()
    generator = random.Random(6)
    select({(0,): 1.0, (1,): 2.0}, 4, 2, generator)
    cross(SPACE.pure(0), SPACE.pure(1), SPACE, generator)
    mutate(SPACE.pure(0), SPACE, 1.0, generator)
    assert random.getstate() == expected


def test_children_are_new_and_distinct():
    tiny = GenomeSpace(arch_spec("lite-w0.1-d0.3"), 2, "stage")
    genomes = list(itertools.product((0, 1), repeat=len(tiny.loci)))
    known = set(genomes[:-3])
    children = breed(
        dict.fromkeys(genomes[:8], 1.0),
        known,
        10,
        tiny,
        tournament=2,
        crossover_rate=0.8,
        mutations=1.5,
        generator=random.Random(7),
    )
    assert len(children) == len(set(children)) <= 3
    assert not known & set(children)


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


def test_elites_falling_back_to_normal_do_not_flatter_newcomers():
    """All genomes are equal and luck is all there is: nothing may seem to improve."""
    beliefs, effects = [], []
    for seed in range(30):
        generator = random.Random(seed)
        search = GeneticSearch(SPACE, SearchOptions(population=16), seed, noise=(0.01, 4))
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


def _true_loss(genome):
    """A separable landscape whose optimum mixes all three donors."""
    return sum(0.01 * ((gene - locus) % 3) for locus, gene in enumerate(genome))


def _run_search(seed, noise=0.0, generations=30):
    options = SearchOptions(population=16, generations=generations)
    search = GeneticSearch(SPACE, options, seed)
    generator = random.Random(100 + seed)
    asked = []
    for _ in range(generations):
        genomes = search.ask()
        luck = generator.gauss(0, 5 * noise)
        asked.append(genomes)
        search.tell({g: _true_loss(g) + luck + generator.gauss(0, noise) for g in genomes})
    return search, asked


def test_first_generation_holds_every_pure_donor():
    _, asked = _run_search(1, generations=1)
    assert set(asked[0]) >= {SPACE.pure(donor) for donor in range(3)}
    assert len(set(asked[0])) == len(asked[0]) == 16


def test_no_genome_is_paid_for_twice_but_the_linking_ones():
    _, asked = _run_search(2)
    seen = set(asked[0])
    for genomes in asked[1:]:
        assert len(set(genomes)) == len(genomes)
        assert 1 <= len(seen & set(genomes)) <= 3  # elites and the best donor
        seen |= set(genomes)


def test_search_beats_random_search_at_equal_budget():
    wins = 0
    for seed in range(10):
        search, asked = _run_search(seed)
        generator = random.Random(seed)
        budget = sum(map(len, asked))
        best_random = min(_true_loss(_random_genome(generator)) for _ in range(budget))
        wins += _true_loss(search.best()) < best_random
    assert wins == 10


def test_search_is_deterministic():
    assert _run_search(3, noise=0.05)[1] == _run_search(3, noise=0.05)[1]
    assert _run_search(3, noise=0.05)[1] != _run_search(4, noise=0.05)[1]


def test_search_survives_a_generation_of_failures():
    search = GeneticSearch(SPACE, SearchOptions(population=6), 1)
    search.tell(dict.fromkeys(search.ask()))
    assert search.best() is None
    genomes = search.ask()
    search.tell({genome: _true_loss(genome) for genome in genomes})
    assert search.best() is None or search.best() in genomes


def test_seeds_do_not_collide():
    seeds = [derive_seed(1, purpose, n) for purpose in PURPOSES for n in range(200)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
