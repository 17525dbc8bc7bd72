"""CMA-ES over shares: it finds what there is to find, sees ranks only, and survives being killed."""

import math
import random

import numpy as np
import pytest
from fake_executor import FakeExecutor
from fine_tunings import BASE, DONORS
from search_runs import lines_without_timing, run_search

from efn_compose.compose import ShareGenomeSpace
from efn_compose.errors import ConfigError
from efn_compose.evolve.genetic.breeding import draw
from efn_compose.evolve.genetic.shares.cma_search import CmaSearch
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.random import Random

SPACE = ShareGenomeSpace(BASE.spec, 3, "stage_share", (0, 0, 0))
KIND = Cma(population=14, generations=25, elites=2)
#: Shares of the best genome there is.
TARGET = np.random.default_rng(3).uniform(-0.2, 1.2, len(SPACE.loci))


def distance(genome):
    return float(((SPACE.shares(genome) - TARGET) ** 2).mean())


def searched(seed, loss=distance, noise=0.0):
    search, luck = CmaSearch(SPACE, KIND, seed), random.Random(seed)
    asked = []
    for _ in range(KIND.generations + 1):
        genomes = search.ask()
        asked.append(genomes)
        common = luck.gauss(0, 10 * noise)
        search.tell({g: loss(g) + common + luck.gauss(0, noise) for g in genomes})
    return search, asked


def test_it_comes_nearer_than_as_many_random_genomes():
    for seed in range(3):
        search, asked = searched(seed, noise=0.01)
        tried = sum(map(len, asked))
        drawn = draw(SPACE, set(), tried, random.Random(seed))
        assert distance(search.finalists(1)[0]) < min(map(distance, drawn)) / 2


def test_only_the_order_of_losses_counts():
    _, plain = searched(1)
    _, bent = searched(1, loss=lambda genome: math.exp(9 * distance(genome)))
    # The first of a generation are repeats, which the estimates choose.
    assert [genomes[-11:] for genomes in bent] == [genomes[-11:] for genomes in plain]


def test_failures_count_as_worst():
    search = CmaSearch(SPACE, KIND, seed=2)
    for _ in range(20):
        search.tell({g: None if g[0] > 40 else distance(g) for g in search.ask()})
    assert search.finalists(1)[0][0] <= 40


@pytest.mark.parametrize("number", range(4))
def test_a_generation_costs_what_the_plan_says(number):
    _, asked = searched(5)
    assert len(asked[number]) <= KIND.size(number, 3)
    assert len(set(asked[number])) == len(asked[number])


@pytest.mark.parametrize(("population", "elites"), [(4, 2), (6, 2), (8, 6)])
def test_all_that_a_distribution_draws_is_evaluated(tmp_path, population, elites):
    kind = Cma(population=population, generations=3, elites=elites)
    donors = [*DONORS[:2], BASE, DONORS[2]]
    run_search(tmp_path, FakeExecutor(), kind=kind, granularity="stage_share", donors=donors)
    seen: set[tuple] = set()
    for generation in range(4):
        rows = [
            tuple(line["recipe"]["values"])
            for line in lines_without_timing(tmp_path)
            if line.get("phase") == "search" and line["generation"] == generation
        ]
        # Its update needs two of four at least, and is an evolution strategy's with all of them.
        assert len(set(rows) - seen) == 4 + (len(donors) if generation == 0 else 0)
        seen |= set(rows)


@pytest.fixture(scope="module", params=[Cma, Genetic, Random])
def whole(request, tmp_path_factory):
    """A search never stopped: its settings, folder and result."""
    folder = tmp_path_factory.mktemp("whole")
    settings = {
        "kind": request.param(population=8, generations=2),
        "granularity": "stage_share",
        "donors": [*DONORS[:2], BASE, DONORS[2]],
    }
    result, _ = run_search(folder, FakeExecutor(), **settings)
    return settings, folder, result


@pytest.mark.parametrize("kept", [7, 18, 31])
def test_a_search_over_shares_killed_anywhere_ends_like_one_never_stopped(tmp_path, whole, kept):
    settings, folder, first = whole
    content = (folder / "evaluations.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "evaluations.jsonl").write_bytes(b"".join(content[:kept]))
    workers = FakeExecutor(workers=3, order_seed=kept)
    second, _ = run_search(tmp_path, workers, **settings)
    assert lines_without_timing(tmp_path) == lines_without_timing(folder)
    assert (second.verdict, second.winner) == (first.verdict, first.winner)
    assert first.space.ancestor == 2


def test_blocks_have_no_shares_to_move(tmp_path):
    with pytest.raises(
        ConfigError, match="set it to one of network_share, stage_share, block_share"
    ):
        run_search(tmp_path, FakeExecutor(), kind=KIND)
