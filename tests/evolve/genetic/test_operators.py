"""Crossover, mutation and selection: what every operator promises, and what each is known to do."""

import itertools
import random
import statistics

import pytest

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace, genome_space
from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.evolve.genetic.breeding import GeneticBreeder
from efn_compose.evolve.genetic.crossover.base import Crossover
from efn_compose.evolve.genetic.crossover.two_point import TwoPoint
from efn_compose.evolve.genetic.crossover.uniform_stages import UniformStages
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.mutation.base import Mutation
from efn_compose.evolve.genetic.mutation.fixed_rate import FixedRate
from efn_compose.evolve.genetic.mutation.heavy_tailed import HeavyTailed
from efn_compose.evolve.genetic.selection.base import Selection
from efn_compose.evolve.genetic.selection.ranking import Ranking
from efn_compose.evolve.genetic.selection.tournament import Tournament
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.steady import Steady

SPACE = GenomeSpace(arch_spec("lite0"), 3, "block")
CROSSOVER_NAMES, MUTATION_NAMES = Crossover.names(), Mutation.names()
CROSSOVERS = [Crossover.named(name) for name in CROSSOVER_NAMES]
MUTATIONS = [Mutation.named(name) for name in MUTATION_NAMES]
SELECTIONS = [Selection.named(name) for name in Selection.names()]
each_crossover = pytest.mark.parametrize("crossover", CROSSOVERS, ids=CROSSOVER_NAMES)
each_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=MUTATION_NAMES)
each_selection = pytest.mark.parametrize("selection", SELECTIONS, ids=Selection.names())


def _random_genome(generator):
    return tuple(generator.randrange(3) for _ in SPACE.loci)


@each_crossover
def test_crossover_keeps_every_gene_at_its_locus(crossover):
    generator, mixed = random.Random(0), 0
    for _ in range(200):
        first, second = _random_genome(generator), _random_genome(generator)
        children = crossover.cross(first, second, SPACE, generator)
        for child in children:
            SPACE.check(child)
        for locus, (a, b) in enumerate(zip(*children, strict=True)):
            assert sorted((a, b)) == sorted((first[locus], second[locus]))
        mixed += children[0] not in (first, second)
    assert mixed > 150


@each_crossover
def test_crossover_works_where_there_is_one_stage_or_one_gene_each(crossover):
    tiny = GenomeSpace(arch_spec("lite-w0.1-d0.3"), 2, "stage")
    for seed in range(50):
        children = crossover.cross(tiny.pure(0), tiny.pure(1), tiny, random.Random(seed))
        assert {a + b for a, b in zip(*children, strict=True)} == {1}


def _cuts(genome):
    return {n for n in range(1, len(genome)) if genome[n] != genome[n - 1]}


def test_most_two_point_crossovers_cut_at_stage_borders_only():
    generator, clean = random.Random(1), 0
    for _ in range(300):
        child = TwoPoint().cross(SPACE.pure(0), SPACE.pure(1), SPACE, generator)[0]
        assert len(_cuts(child)) <= 2
        clean += _cuts(child) <= set(SPACE.stage_borders)
    assert clean >= 300 * 0.75


def test_uniform_crossover_takes_every_stage_whole_and_from_either_parent_alike():
    generator, counts = random.Random(1), [0] * len(SPACE.loci)
    for _ in range(2000):
        child = UniformStages().cross(SPACE.pure(0), SPACE.pure(1), SPACE, generator)[0]
        assert _cuts(child) <= set(SPACE.stage_borders)
        counts = [count + gene for count, gene in zip(counts, child, strict=True)]
    # A fair coin in 2,000 throws: four standard deviations are 90.
    assert all(abs(count - 1000) < 90 for count in counts)


@each_mutation
def test_mutation_stays_in_range_and_changes_little(mutation):
    generator, changes = random.Random(2), []
    for _ in range(300):
        genome = _random_genome(generator)
        child = SPACE.check(mutation.mutate(genome, SPACE, generator))
        changes.append(sum(a != b for a, b in zip(genome, child, strict=True)))
    assert statistics.fmean(changes) < 4
    assert sum(change == 0 for change in changes) < 60  # a stage may get the donor it has


@each_mutation
def test_mutation_reaches_every_gene_and_value(mutation):
    generator, seen = random.Random(3), set()
    for _ in range(2000):
        seen |= set(enumerate(mutation.mutate(SPACE.pure(0), SPACE, generator)))
    assert seen == set(itertools.product(range(len(SPACE.loci)), range(3)))


@pytest.mark.slow
@each_mutation
@pytest.mark.parametrize("granularity", ["stage", "filter"])
def test_mutation_works_at_every_granularity(mutation, granularity):
    space = genome_space(arch_spec("lite-w0.1-d0.3"), 2, granularity)
    generator = random.Random(4)
    for _ in range(50):
        space.decode(space.canonical(mutation.mutate(space.pure(0), space, generator)))
    alone = genome_space(space.spec, 1, granularity)
    assert mutation.mutate(alone.pure(0), alone, generator) == alone.pure(0)


def test_a_fixed_rate_changes_as_many_genes_as_a_binomial_says():
    # Redrawn with probability 1/n, of which two thirds differ; repeated until one does.
    generator, length = random.Random(5), len(SPACE.loci)
    changes = []
    for _ in range(4000):
        child = FixedRate().mutate(SPACE.pure(0), SPACE, generator)
        changes.append(sum(gene != 0 for gene in child))
    chance = 2 / 3 / length
    expected = length * chance / (1 - (1 - chance) ** length)
    assert statistics.fmean(changes) == pytest.approx(expected, rel=0.05)


def test_a_heavy_tail_changes_many_genes_now_and_then():
    generator = random.Random(6)
    changes = [
        [sum(g != 0 for g in m.mutate(SPACE.pure(0), SPACE, generator)) for _ in range(2000)]
        for m in (HeavyTailed(), FixedRate())
    ]
    many = [sum(change >= 6 for change in found) for found in changes]
    assert many[0] > 5 * max(1, many[1])


@pytest.mark.slow
@each_selection
def test_selection_prefers_the_better_and_knows_only_the_given(selection):
    losses = {(n,): float(n) for n in range(10)}
    chosen = selection.select(losses, 20_000, random.Random(4))
    assert set(chosen) <= set(losses) and len(chosen) == 20_000
    counts = [chosen.count(genome) for genome in losses]
    assert counts[0] > 1.5 * 2000 and counts[0] > counts[4] > counts[8]


def test_selection_pressure_matches_tournament_theory():
    # P(best of n in a tournament of k with replacement) = 1 - (1 - 1/n)^k.
    losses = {(n,): float(n) for n in range(10)}
    chosen = Tournament().select(losses, 20_000, random.Random(4))
    assert chosen.count((0,)) / 20_000 == pytest.approx(1 - 0.9**3, abs=0.01)


def test_ranking_matches_bakers_linear_law_however_far_apart_losses_are():
    # P(rank i of n) = 2 (n - i) / (n (n + 1)), ranks from 0.
    losses = {(n,): 10.0**n for n in range(10)}
    chosen = Ranking().select(losses, 40_000, random.Random(4))
    for rank in range(10):
        expected = 2 * (10 - rank) / 110
        assert chosen.count((rank,)) / 40_000 == pytest.approx(expected, abs=0.01)


@each_crossover
@each_mutation
@each_selection
def test_operators_leave_the_global_generator_alone_and_repeat(crossover, mutation, selection):
    def children(seed):
        losses = {_random_genome(random.Random(n)): float(n) for n in range(8)}
        breeder = GeneticBreeder(crossover, mutation, selection)
        return breeder.children(losses, set(), 6, SPACE, random.Random(seed))

    random.seed(5)
    expected = random.getstate()
    assert children(1) == children(1) != children(2)
    assert random.getstate() == expected


@each_crossover
@each_mutation
@each_selection
def test_children_are_new_and_distinct(crossover, mutation, selection):
    tiny = GenomeSpace(arch_spec("lite-w0.1-d0.3"), 2, "stage")
    genomes = list(itertools.product((0, 1), repeat=len(tiny.loci)))
    known, parents = {*genomes[:8], *genomes[11:]}, dict.fromkeys(genomes[:8], 1.0)
    breeder = GeneticBreeder(crossover, mutation, selection)
    children = breeder.children(parents, known, 10, tiny, random.Random(7))
    assert 0 < len(children) == len(set(children)) <= 3
    assert not known & set(children)


@pytest.mark.parametrize("kind", [Genetic, Steady])
def test_operators_are_chosen_by_name(kind):
    breeder = kind(crossover="uniform_stages", mutation="fixed_rate", selection="ranking").breeder(
        SPACE, FitnessTable()
    )
    kinds = [type(part) for part in (breeder.crossover, breeder.mutation, breeder.selection)]
    assert kinds == [UniformStages, FixedRate, Ranking]
    usual = kind().breeder(SPACE, FitnessTable())
    kinds = [type(part) for part in (usual.crossover, usual.mutation, usual.selection)]
    assert kinds == [TwoPoint, HeavyTailed, Tournament]
    assert type(kind(crossover="uniform_stages").crossing()) is UniformStages


def test_a_name_that_is_no_operator_is_refused_with_those_that_are():
    with pytest.raises(ConfigError, match='allowed "two_point", "uniform_stages"'):
        load_config(None, ["genetic.crossover=one_point"])


def test_another_crossover_is_one_file(tmp_path, monkeypatch):
    """A file in the folder is found by its name; no table has to hear of it."""
    import efn_compose.evolve.genetic.crossover as folder

    (tmp_path / "first_half.py").write_text(
        "from efn_compose.evolve.genetic.crossover.base import Crossover\n"
        "class FirstHalf(Crossover):\n"
        "    def cross(self, first, second, space, generator):\n"
        "        half = len(first) // 2\n"
        "        return first[:half] + second[half:], second[:half] + first[half:]\n"
        "    def second_parents_part(self, gain, borders):\n"
        "        return gain > 99\n"
    )
    monkeypatch.setattr(folder, "__path__", [*folder.__path__, str(tmp_path)])
    assert "first_half" in Crossover.names()
    found = Crossover.named("first_half")
    child = found.cross(SPACE.pure(0), SPACE.pure(1), SPACE, random.Random(0))[0]
    assert child[0] == 0 and child[-1] == 1
