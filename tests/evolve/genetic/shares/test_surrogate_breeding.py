"""Newcomers of a search over shares come from a surrogate, and so does what is put up in the end."""

import random
import statistics

import numpy as np
import pytest

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace, ShareGenomeSpace
from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.genetic.shares import surrogate_breeding
from efn_compose.evolve.genetic.shares.cma_search import CmaSearch
from efn_compose.evolve.genetic.shares.surrogate import CAUTIONS, Surrogate
from efn_compose.evolve.genetic.shares.surrogate_breeding import SurrogateBreeder
from efn_compose.evolve.genetic.steady_search import SteadySearch
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.random import Random
from efn_compose.evolve.kinds.steady import Steady

SPEC = arch_spec("lite0")
SPACE = ShareGenomeSpace(SPEC, 9, "network_share", ancestor=2)
BLOCKS = GenomeSpace(SPEC, 4)


def tabled(space, loss, count, seed=0, noise=0.0):
    """Return a table of drawn genomes."""
    generator, table = random.Random(seed), FitnessTable()
    genomes = [space.draw(generator) for _ in range(count)]
    table.add_generation({g: loss(g) + generator.gauss(0, noise) for g in genomes})
    return table


def test_newcomers_are_new_and_fewer_where_few_are_left():
    tiny = ShareGenomeSpace(SPEC, 2, "network_share")
    table = tabled(tiny, lambda genome: (tiny.shares(genome)[0] - 0.5) ** 2, 9)
    known = {(gene,) for gene in range(65)} - {(30,), (33,), (35,)}
    children = SurrogateBreeder(table).children({}, known, 9, tiny, random.Random(0))
    assert sorted(children) == [(30,), (33,), (35,)]


def test_a_newcomer_is_as_often_some_genome_as_that_is_the_best_of_all_in_the_model(monkeypatch):
    monkeypatch.setattr(surrogate_breeding, "_POOL", 10)
    tiny = ShareGenomeSpace(SPEC, 2, "network_share")
    left = [(20,), (32,), (44,)]
    table = tabled(tiny, lambda genome: (tiny.shares(genome)[0] - 0.5) ** 2, 6, noise=0.3)
    known = {(gene,) for gene in range(65)} - set(left)
    breeder = SurrogateBreeder(table)
    taken = [breeder.children({}, known, 1, tiny, random.Random(seed))[0] for seed in range(400)]
    surrogate = Surrogate.of(tiny, table.looks())
    points = np.array([tiny.shares(genome) for genome in left])
    drawn = surrogate.samples(points, 50_000, np.random.default_rng(0)).argmin(axis=1)
    for number, genome in enumerate(left):
        share = float((drawn == number).mean())
        assert taken.count(genome) / 400 == pytest.approx(share, abs=3.5 * (share / 400) ** 0.5)


@pytest.mark.parametrize("kind", [Genetic, Steady])
def test_breeding_suits_the_genes(kind):
    assert isinstance(kind().breeder(SPACE, FitnessTable()), SurrogateBreeder)
    assert not isinstance(kind().breeder(BLOCKS, FitnessTable()), SurrogateBreeder)


def test_blocks_have_no_surrogate():
    with pytest.raises(ConfigError, match="A search by a surrogate moves shares"):
        SurrogateBreeder(FitnessTable()).children({}, (), 1, BLOCKS, random.Random(0))


@pytest.mark.parametrize(
    "key", ["crossover=uniform_stages", "mutation=fixed_rate", "selection=ranking"]
)
def test_operators_of_choices_are_refused_where_genes_are_shares(key):
    shares = ["search.granularity=stage_share"]
    with pytest.raises(ConfigError, match=f"genetic.{key.partition('=')[0]}"):
        load_config(None, [*shares, f"genetic.{key}"])
    assert load_config(None, shares).kind.name == "genetic"


def searched(kind, seed, noise=0.02, generations=8, space=SPACE):
    """Return a finished search, and the true loss of its made-up landscape: a bowl turned anyhow."""
    rng, luck, genes = np.random.default_rng(seed), random.Random(seed), len(space.loci)
    level = rng.dirichlet(np.ones(space.donor_count))[1:] * rng.uniform(0.5, 1.5)
    best = np.tile(level, len(space.parts)) + rng.normal(0, 0.2, genes)
    axes, _ = np.linalg.qr(rng.normal(size=(genes, genes)))
    bends = np.exp(rng.uniform(0, np.log(30), genes))

    def loss(genome):
        away = axes @ (space.shares(genome) - best)
        return float((bends * away**2).sum() / bends.sum())

    search = (CmaSearch if kind is Cma else GeneticSearch)(space, kind(population=12), seed)
    for _ in range(generations):
        common = luck.gauss(0, 0.05)
        told = {genome: loss(genome) + common + luck.gauss(0, noise) for genome in search.ask()}
        search.tell(told)
    return search, loss


def test_minima_of_the_surrogate_are_put_up_the_most_trusted_first():
    search, _ = searched(Genetic, 1)
    surrogate = Surrogate.of(SPACE, search.table.looks())
    minima = [SPACE.nearest(surrogate.minimum(caution)) for caution in CAUTIONS]
    minima = list(dict.fromkeys(minima))
    found = search.finalists(9)
    assert found[: len(minima)] == minima and len(set(found)) == 9
    assert search.finalists(2) == found[:2]
    # More than there are minima: what was evaluated, in the order of a careful belief.
    mean, deviation = surrogate.believed(np.array([SPACE.shares(g) for g in found[len(minima) :]]))
    assert (np.diff(mean + 2 * deviation) >= 0).all()
    assert set(found[len(minima) :]) <= {look.genome for look in search.table.looks()}


def test_where_everything_failed_nothing_is_put_up():
    search = GeneticSearch(SPACE, Genetic(population=6), 1)
    search.tell(dict.fromkeys(search.ask()))
    assert search.finalists(3) == []


def test_what_is_put_up_is_nearer_to_the_optimum_than_the_best_of_all_evaluations():
    found = {"put up": [], "evaluated": []}
    for seed in range(8):
        search, loss = searched(Random, seed)
        pure = set(search.pure)
        ranked = [genome for genome in search.table.leaders(9) if genome not in pure]
        found["put up"].append(loss(search.finalists(1)[0]))
        found["evaluated"].append(loss(ranked[0]))
    assert statistics.fmean(found["put up"]) < 0.5 * statistics.fmean(found["evaluated"])


def test_breeding_comes_nearer_to_the_optimum_than_random_draws_and_cma_es():
    space, means = ShareGenomeSpace(SPEC, 5, "stage_share"), {}
    for kind in (Genetic, Random, Cma):
        runs = [searched(kind, seed, space=space) for seed in range(10)]
        means[kind] = statistics.fmean(loss(search.finalists(1)[0]) for search, loss in runs)
    assert means[Genetic] < 0.95 * means[Random] and means[Genetic] < 0.8 * means[Cma]


def test_a_search_where_nobody_waits_breeds_so_too():
    search = SteadySearch(SPACE, Steady(population=8), 1)
    best = np.full(8, 0.3)
    for number in range(120):
        genome, _ = search.ask_one()
        search.tell_one(number, float(((SPACE.shares(genome) - best) ** 2).mean()))
    assert np.abs(SPACE.shares(search.finalists(1)[0]) - best).max() < 0.15


def test_one_share_per_relative_is_the_same_in_all_parts():
    space = ShareGenomeSpace(SPEC, 3, "network_share")
    assert [locus.name for locus in space.loci] == ["network_share1", "network_share2"]
    stages = ShareGenomeSpace(SPEC, 3, "stage_share")
    genome = space.nearest([0.5, 0.25])
    assert space.decode(genome) == stages.decode(genome * len(stages.parts))
