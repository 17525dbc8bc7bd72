"""The protocol of a crossover, and the guess at parents that it allows."""

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.operators import GeneSpace, Operator


class Crossover(Operator, ABC):
    """Crosses two genomes. An operator is one file beside this one."""

    @abstractmethod
    def cross(
        self, first: Genome, second: Genome, space: GeneSpace, generator: random.Random
    ) -> tuple[Genome, Genome]:
        """Return two children of which each gene stems from those of both parents at its locus.

        Mostly one child has the first parent's gene and the other the second's.

        Args:
            first: A genome of `space`.
            second: Another.
            space: Knows where stages begin.
            generator: Source of randomness; advanced.
        """

    @abstractmethod
    def second_parents_part(self, gain: np.ndarray, borders: Sequence[int]) -> np.ndarray:
        """Return the loci that a second parent most likely gave, for readers of a journal.

        A journal holds genomes, not parents. Of all parts that this operator can take from a second
        parent, the likeliest is the one with the largest sum of gains.

        Args:
            gain: By pair of parents, 1 where the second parent has the child's gene and the first
                has not, -1 in the reverse case, else 0; int16, (pair, locus).
            borders: First locus of each stage but the first.

        Returns:
            Whether the second parent gave a locus, bool, (pair, locus).
        """


def ranges(borders: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Return start and stop of each stage of a genome.

    Args:
        borders: First locus of each stage but the first.
        length: Of the genome.

    Example:
        >>> ranges((1, 3), 5)
        [(0, 1), (1, 3), (3, 5)]
    """
    return list(itertools.pairwise([0, *borders, length]))
