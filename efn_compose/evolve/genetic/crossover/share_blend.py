"""`crossover = "share_blend"`: shares between those of two parents, and a little beyond."""

import random
from collections.abc import Sequence

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.crossover.base import Crossover, ranges
from efn_compose.evolve.genetic.operators import GeneSpace, shares_of

#: How far beyond either parent a child may lie, as a part of their distance.
_BEYOND = 0.25


class ShareBlend(Crossover):
    """Moves each stage along the line through both parents, by a number of its own.

    Blend crossover (Eshelman and Schaffer 1993) with one draw per stage instead of one per gene:
    neighbouring layers are co-adapted.
    """

    needs_shares = True

    def cross(
        self, first: Genome, second: Genome, space: GeneSpace, generator: random.Random
    ) -> tuple[Genome, Genome]:
        """Return two children; see `Crossover`."""
        shares = shares_of(space, "crossover share_blend")
        one, other = shares.shares(first), shares.shares(second)
        towards = np.empty(len(first))
        for start, stop in ranges(space.stage_borders, len(first)):
            towards[start:stop] = generator.uniform(-_BEYOND, 1 + _BEYOND)
        step = towards * (other - one)
        return shares.nearest(one + step), shares.nearest(other - step)

    def second_parents_part(self, gain: np.ndarray, borders: Sequence[int]) -> np.ndarray:
        """Return all stages in which the second explains more; see `Crossover`.

        Only genes of a parent count, which a blend keeps where both parents agree: the rest is
        neither parent's alone.
        """
        part = np.zeros(gain.shape, bool)
        for start, stop in ranges(borders, gain.shape[1]):
            part[:, start:stop] = (gain[:, start:stop].sum(axis=1) > 0)[:, None]
        return part
