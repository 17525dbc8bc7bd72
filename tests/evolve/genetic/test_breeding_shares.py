"""Shares are bred around the mean of the best, and the mean itself is put up in the end."""

import random
import statistics

import numpy as np
import pytest
from deap.cma import Strategy

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace, ShareGenomeSpace
from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.evolve.genetic.breeding import MeanBreeder
from efn_compose.evolve.genetic.cma_search import CmaSearch
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.random import Random
from efn_compose.evolve.kinds.steady import Steady

SPEC = arch_spec("lite0")
SPACE = ShareGenomeSpace(SPEC, 4, "stage_share", ancestor=2)
BLOCKS = GenomeSpace(SPEC, 4)


def test_newcomers_are_normal_around_the_mean_of_all_parents_a_relatives_shares_together():
    parents = {SPACE.pure(donor): float(donor) for donor in range(4)}
    children = MeanBreeder().children(parents, set(parents), 4000, SPACE, random.Random(0))
    assert len(set(children)) == 4000
    found = np.array([SPACE.shares(child) for child in children]).reshape(4000, -1, 3)
    # Donor 0 is the best, donor 1 the next; donor 2 is the ancestor. The normal is cut at -0.5.
    weights = Strategy([0.0], 1.0, lambda_=8, mu=4).weights
    assert found.mean(axis=(0, 1)) == pytest.approx(weights[[0, 1, 3]], abs=0.015)
    # Variances add: 0.25 of each share, and 0.1 of all shares of a relative; steps of 1/32 add a little.
    # Shares are cut at -0.5, three deviations away.
    assert found[:, 0].std(axis=0) == pytest.approx([(0.25**2 + 0.1**2) ** 0.5] * 3, rel=0.03)
    own, other = found[:, 0, 0], found[:, 1, 0]
    assert np.cov(own, other)[0, 1] == pytest.approx(0.1**2, abs=0.003)
    assert np.cov(own, found[:, 1, 1])[0, 1] == pytest.approx(0, abs=0.003)


def test_newcomers_are_new_and_fewer_where_few_are_left():
    tiny = ShareGenomeSpace(SPEC, 2, "network_share")
    genomes = [(gene,) for gene in range(65)]
    known = set(genomes) - {(30,), (33,), (35,)}
    children = MeanBreeder().children({(32,): 0.1}, known, 9, tiny, random.Random(0))
    assert sorted(children) == [(30,), (33,), (35,)]


@pytest.mark.parametrize("kind", [Genetic, Steady])
def test_breeding_suits_the_genes(kind):
    assert isinstance(kind().breeder(SPACE), MeanBreeder)
    assert not isinstance(kind().breeder(BLOCKS), MeanBreeder)


def test_blocks_have_no_mean():
    ranked = [BLOCKS.pure(2), BLOCKS.pure(0)]
    assert BLOCKS.finalists(ranked, 1) == ranked
    parents = {BLOCKS.pure(0): 1.0}
    with pytest.raises(ConfigError, match="A search around a mean moves shares"):
        MeanBreeder().children(parents, (), 1, BLOCKS, random.Random(0))


@pytest.mark.parametrize(
    "key", ["crossover=uniform_stages", "mutation=fixed_rate", "selection=ranking"]
)
def test_operators_of_choices_are_refused_where_genes_are_shares(key):
    shares = ["search.granularity=stage_share"]
    with pytest.raises(ConfigError, match=f"genetic.{key.partition('=')[0]}"):
        load_config(None, [*shares, f"genetic.{key}"])
    assert load_config(None, shares).kind.name == "genetic"


def _searched(search, optimum, noise, seed, generations=8):
    luck = random.Random(seed)

    def loss(genome):
        return float(((SPACE.shares(genome) - optimum) ** 2).mean())

    for _ in range(generations):
        search.tell({genome: loss(genome) + luck.gauss(0, noise) for genome in search.ask()})
    return [loss(genome) for genome in search.finalists(3)], search, loss


@pytest.mark.parametrize(("kind", "make"), [(Genetic, GeneticSearch), (Random, GeneticSearch)])
def test_means_of_the_best_are_put_up_and_no_single_genome(kind, make):
    finals, search, loss = _searched(make(SPACE, kind(population=12), 1), 0.3, 0.03, 1)
    ranked = list(search.table.leaders(24))
    sizes = (12, 6, 24, 3)
    for size, genome in zip(sizes, search.finalists(9), strict=True):
        assert genome == SPACE.nearest(SPACE.centre(ranked[:size]))
    assert search.finalists(2) == search.finalists(9)[:2]
    # Jensen: where losses are convex, a mean is no worse than its members are by the same weights.
    for size, found in zip(sizes, finals, strict=False):
        best = np.array(list(map(loss, ranked[:size])))
        assert found <= Strategy([0.0], 1.0, lambda_=2 * size, mu=size).weights @ best + 1e-3


def test_the_centre_has_the_weights_of_deaps_cma_es():
    ranked = [SPACE.draw(random.Random(seed)) for seed in range(12)]
    shares = np.array([SPACE.shares(genome) for genome in ranked])
    weights = Strategy([0.0], 1.0, lambda_=24, mu=12).weights
    assert SPACE.centre(ranked) == pytest.approx(weights @ shares)


def test_a_choice_among_means_is_nearer_to_the_optimum_than_one_among_single_genomes():
    found = {"means": [], "single": []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        optimum = np.tile(rng.dirichlet(np.ones(4))[1:], 9) + rng.normal(0, 0.25, 27)
        search = GeneticSearch(SPACE, Genetic(population=12), seed)
        _, search, loss = _searched(search, optimum, 0.05, seed)
        # Finals judge with noise, too.
        for name, genomes in (
            ("means", search.finalists(3)),
            ("single", list(search.table.leaders(3))),
        ):
            found[name].append(loss(min(genomes, key=lambda g: loss(g) + rng.normal(0, 0.03))))
    assert statistics.fmean(found["means"]) < 0.8 * statistics.fmean(found["single"])


def test_breeding_around_the_mean_comes_nearer_to_the_optimum_than_random_draws_and_cma_es():
    found = {}
    for kind, make in ((Genetic, GeneticSearch), (Random, GeneticSearch), (Cma, CmaSearch)):
        found[kind] = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            optimum = np.tile(rng.dirichlet(np.ones(4))[1:], 9) + rng.normal(0, 0.25, 27)
            search = make(SPACE, kind(population=12), seed)
            found[kind].append(_searched(search, optimum, 0.03, seed)[0][0])
    means = {kind: statistics.fmean(values) for kind, values in found.items()}
    assert means[Genetic] < means[Random] and means[Genetic] < means[Cma]


def test_one_share_per_relative_is_the_same_in_all_parts():
    space = ShareGenomeSpace(SPEC, 3, "network_share")
    assert [locus.name for locus in space.loci] == ["network_share1", "network_share2"]
    stages = ShareGenomeSpace(SPEC, 3, "stage_share")
    genome = space.nearest([0.5, 0.25])
    assert space.decode(genome) == stages.decode(genome * len(stages.parts))
