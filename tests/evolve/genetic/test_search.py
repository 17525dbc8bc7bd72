"""The search of generations, on losses that are known exactly."""

import random

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.kinds.genetic import Genetic

SPACE = GenomeSpace(arch_spec("lite0"), 3, "block")


def _random_genome(generator):
    return tuple(generator.randrange(3) for _ in SPACE.loci)


def _true_loss(genome):
    """A separable landscape whose optimum mixes all three donors."""
    return sum(0.01 * ((gene - locus) % 3) for locus, gene in enumerate(genome))


def _run_search(seed, noise=0.0, generations=30):
    options = Genetic(population=16, generations=generations)
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
    search = GeneticSearch(SPACE, Genetic(population=6), 1)
    search.tell(dict.fromkeys(search.ask()))
    assert search.best() is None
    genomes = search.ask()
    search.tell({genome: _true_loss(genome) for genome in genomes})
    assert search.best() is None or search.best() in genomes


def test_the_standing_is_the_truth_where_scores_have_no_noise():
    search, asked = _run_search(5)
    found, tried = search.standing(), {genome for genomes in asked for genome in genomes}
    losses = {donor: _true_loss(SPACE.pure(donor)) for donor in range(3)}
    assert found.best.donor is None
    assert abs(found.best.loss - min(map(_true_loss, tried))) < 1e-9
    assert found.best_donor.donor == min(losses, key=losses.get)
    assert found.genomes == len(tried)


def test_a_search_all_of_whose_donors_failed_still_stands():
    search = GeneticSearch(SPACE, Genetic(population=6), 1)
    search.tell({g: None if g in search.pure else _true_loss(g) for g in search.ask()})
    found = search.standing()
    assert found.best is not None and found.best_donor is None and not found.donors
    assert GeneticSearch(SPACE, Genetic(population=6), 1).standing().best is None
