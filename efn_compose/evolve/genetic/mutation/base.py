"""The protocol of a mutation."""

import random
from abc import ABC, abstractmethod

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.operators import GeneSpace, Operator


class Mutation(Operator, ABC):
    """Changes some genes of a genome. An operator is one file beside this one."""

    @abstractmethod
    def mutate(self, genome: Genome, space: GeneSpace, generator: random.Random) -> Genome:
        """Return a changed genome of the same space.

        Args:
            genome: A genome of `space`.
            space: Knows how many values each gene has.
            generator: Source of randomness; advanced.
        """
