"""Crossover, mutation, selection and breeding, against counts and theory."""

import itertools
import random
import statistics

import pytest

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.operators import breed, cross, mutate, select

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
