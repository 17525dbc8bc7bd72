"""Searches over shares on made-up losses, where the best genome is known.

Purpose: 36 shares (nine stages of Lite0, four relatives). The best genome is a random point between
         five donors, stretched by 0.5 to 1.5, plus some distance in each stage. The loss of a genome is
         its mean squared distance to it. A generation has a common luck of 0.1; noise is each run's own.
Command: python experiments/share_landscape.py
Time:    two minutes
Result:  experiments/results/relatives.md, "Made-up losses"
"""

import math
import random
import statistics
from collections.abc import Mapping

import numpy as np

from efn_compose.arch import arch_spec
from efn_compose.compose import Genome, ShareGenomeSpace
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.genetic.shares.cma_search import CmaSearch
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.composing import ComposingKind
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.random import Random

SPACE = ShareGenomeSpace(arch_spec("lite0"), 5, "stage_share")
SEEDS, POPULATION, FINALISTS = 20, 12, 3
#: Runs of each finalist, by whose mean one is chosen.
FINAL_RUNS = 3
SEARCHES: Mapping[str, type[ComposingKind]] = {
    "random draws": Random,
    "genetic": Genetic,
    "CMA-ES": Cma,
}


def target(seed: int) -> np.ndarray:
    """Return the shares (locus,) of the best genome."""
    rng = np.random.default_rng(seed)
    levels = rng.dirichlet(np.ones(5))[1:] * rng.uniform(0.5, 1.5)
    shares: np.ndarray = np.tile(levels, 9) + rng.normal(0, 0.25, 36)
    return shares


def found(name: str, generations: int, noise: float, seed: int) -> float:
    """Return the distance of the finalist that is best by three runs of each."""
    kind = SEARCHES[name]
    options = kind(population=POPULATION, generations=generations)
    search = (CmaSearch if kind is Cma else GeneticSearch)(SPACE, options, seed)
    best, luck = target(seed), random.Random(seed)

    def loss(genome: Genome) -> float:
        return float(((SPACE.shares(genome) - best) ** 2).mean())

    for _ in range(generations + 1):
        common = luck.gauss(0, 0.1)
        search.tell({g: loss(g) + common + luck.gauss(0, noise) for g in search.ask()})
    error = noise / math.sqrt(FINAL_RUNS)
    return loss(min(search.finalists(FINALISTS), key=lambda g: loss(g) + luck.gauss(0, error)))


def main() -> None:
    """Print the table."""
    cases = [(generations, noise) for generations in (7, 20) for noise in (0.0, 0.02, 0.05)]
    heads = [f"{generations + 1} generations, noise {noise:g}" for generations, noise in cases]
    print(f"| search | {' | '.join(heads)} |")
    print("|---" + "|---:" * len(cases) + "|")
    for name in SEARCHES:
        cells = []
        for generations, noise in cases:
            values = [found(name, generations, noise, seed) for seed in range(SEEDS)]
            error = statistics.stdev(values) / math.sqrt(SEEDS)
            cells.append(f"{statistics.fmean(values):.3f} ± {error:.3f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
