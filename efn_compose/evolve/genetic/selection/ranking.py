"""`selection = "ranking"`: chances fall evenly from the best genome to the worst."""

import random
from collections.abc import Mapping

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.selection.base import NONE_SOLVED, Selection


class Ranking(Selection):
    """Draws by rank alone, however far apart losses are (linear ranking, Baker 1985).

    Of n genomes the best is drawn with probability 2 / (n + 1), each further one with an equal
    step less. It presses less than a tournament of three, so that more genomes become parents.

    Example:
        >>> set(Ranking().select({(0,): 1.0, (1,): 0.5}, 50, random.Random(0)))
        {(0,), (1,)}
    """

    def select(
        self,
        losses: Mapping[Genome, float],
        count: int,
        generator: random.Random,
        solved: Mapping[Genome, np.ndarray] = NONE_SOLVED,
    ) -> list[Genome]:
        """Return parents; see `Selection`."""
        ranked = sorted(losses, key=lambda genome: (losses[genome], genome))
        return generator.choices(ranked, weights=range(len(ranked), 0, -1), k=count)
