"""`selection = "niches"`: genomes that are right about different images are paired."""

import random
from collections.abc import Mapping

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.selection.base import NONE_SOLVED, Selection
from efn_compose.evolve.genetic.selection.ranking import Ranking


class Niches(Selection):
    """Lets genomes share the worth of images, and pairs those that complete each other.

    M2N2 (Abrantes et al. 2025, arXiv:2508.16204). An image that many get right is worth little to
    each of them. The first parent is drawn by the worth of the images that it gets right, the
    second by the worth of those that the first gets wrong. Losses say only who may be a parent at
    all; they decide as in `ranking` while no images are known.

    Example:
        >>> solved = {(0,): np.array([True, False]), (1,): np.array([False, True])}
        >>> set(Niches().select({(0,): 1.0, (1,): 0.5}, 2, random.Random(0), solved))
        {(0,), (1,)}
    """

    needs_images = True

    def select(
        self,
        losses: Mapping[Genome, float],
        count: int,
        generator: random.Random,
        solved: Mapping[Genome, np.ndarray] = NONE_SOLVED,
    ) -> list[Genome]:
        """Return parents, every other one a mate of the one before; see `Selection`."""
        known = [genome for genome in sorted(losses) if genome in solved]
        if not known:
            return Ranking().select(losses, count, generator)
        right = np.stack([solved[genome] for genome in known]).astype(np.float64)
        share = 1 / np.maximum(right.sum(axis=0), 1)
        parents: list[Genome] = []
        for number in range(count):
            gains = right
            if number % 2:
                gains = np.maximum(right - solved[parents[-1]], 0)
            worth = gains @ share
            # Nobody may know more than the first, or anything at all.
            worth = worth if worth.any() else np.ones(len(known))
            parents += generator.choices(known, weights=worth.tolist())
        return parents
