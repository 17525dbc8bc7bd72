"""`mutation = "fixed_rate"`: every gene alike, one of them on average."""

import random

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.deap_tools import deap_tools
from efn_compose.evolve.genetic.mutation.base import Mutation
from efn_compose.evolve.genetic.operators import GeneSpace


class FixedRate(Mutation):
    """Redraws each gene with probability one over their number, again until one has changed.

    The standard mutation of evolutionary algorithms, against which others are compared.
    """

    def mutate(self, genome: Genome, space: GeneSpace, generator: random.Random) -> Genome:
        """Return a changed genome; see `Mutation`."""
        if max(space.cardinalities) < 2:
            return genome
        upper = [count - 1 for count in space.cardinalities]
        child = list(genome)
        with deap_tools(generator) as tools:
            while tuple(child) == genome:
                tools.mutUniformInt(child, [0] * len(child), upper, 1 / len(genome))
        return tuple(child)
