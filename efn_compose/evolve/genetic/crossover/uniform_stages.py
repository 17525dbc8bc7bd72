"""`crossover = "uniform_stages"`: every stage from one parent or the other, by a coin."""

import random
from collections.abc import Sequence

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.crossover.base import Crossover, ranges
from efn_compose.evolve.genetic.operators import GeneSpace


class UniformStages(Crossover):
    """Takes each stage whole from either parent.

    Uniform crossover (Syswerda 1989) over stages instead of genes: neighbouring layers are
    co-adapted, stages less so.
    """

    def cross(
        self, first: Genome, second: Genome, space: GeneSpace, generator: random.Random
    ) -> tuple[Genome, Genome]:
        """Return two children; see `Crossover`."""
        one, other = list(first), list(second)
        for start, stop in ranges(space.stage_borders, len(first)):
            if generator.random() < 0.5:
                one[start:stop], other[start:stop] = second[start:stop], first[start:stop]
        return tuple(one), tuple(other)

    def second_parents_part(self, gain: np.ndarray, borders: Sequence[int]) -> np.ndarray:
        """Return all stages in which the second parent explains more; see `Crossover`."""
        part = np.zeros(gain.shape, bool)
        for start, stop in ranges(borders, gain.shape[1]):
            part[:, start:stop] = (gain[:, start:stop].sum(axis=1) > 0)[:, None]
        return part
