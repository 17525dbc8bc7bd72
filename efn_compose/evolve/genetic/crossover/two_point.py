"""`crossover = "two_point"`: a stretch of one parent in the other, mostly of whole stages."""

import random
from collections.abc import Sequence

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.crossover.base import Crossover, ranges
from efn_compose.evolve.genetic.deap_tools import deap_tools
from efn_compose.evolve.genetic.operators import GeneSpace

#: Share of crossovers that cut between blocks instead of at stage borders.
_INNER_CUT_RATE = 0.25


class TwoPoint(Crossover):
    """Cuts at two points, mostly stage borders: neighbouring layers are co-adapted."""

    def cross(
        self, first: Genome, second: Genome, space: GeneSpace, generator: random.Random
    ) -> tuple[Genome, Genome]:
        """Return two children; see `Crossover`."""
        is_inner = generator.random() < _INNER_CUT_RATE
        cuts = range(1, len(first)) if is_inner else space.stage_borders
        pairs = ranges(cuts, len(first))
        one, other = ([list(genome[a:b]) for a, b in pairs] for genome in (first, second))
        with deap_tools(generator) as tools:
            if len(pairs) > 1:
                tools.cxTwoPoint(one, other)
        return _joined(one), _joined(other)

    def second_parents_part(self, gain: np.ndarray, borders: Sequence[int]) -> np.ndarray:
        """Return the stretch with the largest sum of gains; see `Crossover`."""
        starts, stops = _best_stretches(gain)
        loci = np.arange(gain.shape[1])
        part: np.ndarray = (starts[:, None] <= loci) & (loci < stops[:, None])
        return part


def _joined(pieces: Sequence[Sequence[int]]) -> Genome:
    return tuple(gene for piece in pieces for gene in piece)


def _best_stretches(gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per row start and stop of the consecutive columns with the largest sum (Kadane)."""
    rows, columns = gain.shape
    best, current = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    start, best_start, best_stop = (np.zeros(rows, np.int64) for _ in range(3))
    for column in range(columns):
        restart = current <= 0
        current = np.where(restart, 0, current) + gain[:, column]
        start = np.where(restart, column, start)
        better = current > best
        best = np.where(better, current, best)
        best_start = np.where(better, start, best_start)
        best_stop = np.where(better, column + 1, best_stop)
    return best_start, best_stop
