"""The search over policies: the breeding of the search over donors, on genomes of policies.

Scores are exact and never change, so that there is nothing to repeat: neither generations of one
seed nor estimates are needed, which is why this loop is not `GeneticSearch`.
"""

import random
from collections.abc import Callable, Sequence

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.breeding import GeneticBreeder
from efn_compose.evolve.genetic.crossover.uniform_stages import UniformStages
from efn_compose.evolve.genetic.mutation.heavy_tailed import HeavyTailed
from efn_compose.evolve.genetic.selection.tournament import Tournament
from efn_compose.jobs.policies.space import PolicySpace

#: Policies of a generation, and policies that may be parents.
POPULATION = 50


def search_policies(
    space: PolicySpace,
    evaluations: int,
    seed: int,
    losses: Callable[[Sequence[Genome]], Sequence[float]],
) -> tuple[Genome, float]:
    """Return the policy of the least loss that the search has come upon, and its loss.

    Args:
        space: The policies.
        evaluations: How many are scored, each once; a small space may hold fewer.
        seed: Decides the search together with the losses.
        losses: Scores a generation.

    Example:
        >>> space = PolicySpace(1, {"identity": (0.0,), "rotate": (15.0, 30.0)}, (0.5, 1.0))
        >>> search_policies(space, 30, 1, lambda some: [float(sum(genome)) for genome in some])
        ((0, 0, 0, 0, 0, 0), 0.0)
    """
    generator = random.Random(seed)
    breeder = GeneticBreeder(UniformStages(), HeavyTailed(), Tournament())
    known: dict[Genome, float] = {}
    first = [space.draw(generator) for _ in range(min(POPULATION, evaluations))]
    genomes = list(dict.fromkeys(first))
    while genomes:
        known.update(zip(genomes, losses(genomes), strict=True))
        ranked = sorted(known, key=lambda genome: (known[genome], genome))[:POPULATION]
        wanted = min(POPULATION, evaluations - len(known))
        parents = {genome: known[genome] for genome in ranked}
        genomes = breeder.children(parents, known, wanted, space, generator)
    return ranked[0], known[ranked[0]]
