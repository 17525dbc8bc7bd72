"""`selection = "tournament"`: the best of a few drawn at random."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.deap_tools import deap_tools
from efn_compose.evolve.genetic.selection.base import NONE_SOLVED, Selection


class Tournament(Selection):
    """Draws genomes with replacement, and the best of them is a parent.

    Args:
        size: Genomes per tournament.

    Example:
        >>> Tournament(8).select({(0,): 1.0, (1,): 0.5}, 1, random.Random(0))
        [(1,)]
    """

    def __init__(self, size: int = 3) -> None:
        self.size = size

    def select(
        self,
        losses: Mapping[Genome, float],
        count: int,
        generator: random.Random,
        solved: Mapping[Genome, np.ndarray] = NONE_SOLVED,
    ) -> list[Genome]:
        """Return parents; see `Selection`."""
        individuals = _Individuals(losses)
        with deap_tools(generator) as tools:
            chosen = tools.selTournament(individuals, count, self.size)
        return [tuple(individual) for individual in chosen]


class _Individual(list[int]):
    """A genome with a fitness, as DEAP wants it."""

    def __init__(self, genome: Genome, loss: float) -> None:
        super().__init__(genome)
        self.fitness = -loss


class _Individuals(Sequence[_Individual]):
    """Individuals made when they are drawn: a tournament looks at few of them."""

    def __init__(self, losses: Mapping[Genome, float]) -> None:
        self._entries = list(losses.items())

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: Any) -> Any:
        return _Individual(*self._entries[number])
