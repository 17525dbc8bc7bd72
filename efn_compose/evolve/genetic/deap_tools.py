"""DEAP's operators with a generator of our own; the only file that imports DEAP.

DEAP draws from Python's global generator. Lent the search's own one instead, a search is
reproducible and disturbs nobody. Genomes are tuples outside and lists inside: DEAP's crossover
silently loses genes of numpy arrays.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def deap_tools(generator: random.Random) -> Iterator[Any]:
    """Give DEAP's tools, which draw from a generator for a while.

    Args:
        generator: Source of randomness; to DEAP's files, it is the module `random`.

    Example:
        >>> with deap_tools(random.Random(0)) as tools:
        ...     tools.cxTwoPoint([0, 0, 0], [1, 1, 1])
        ([0, 0, 1], [1, 1, 0])
    """
    from deap import tools
    from deap.tools import crossover, mutation, selection

    drawing = (crossover, mutation, selection)
    for module in drawing:
        module.random = generator
    try:
        yield tools
    finally:
        for module in drawing:
            module.random = random


class CmaDistribution:
    """DEAP's CMA-ES strategy, sampled with deviates of our own.

    Args:
        centre: Where it begins, (dimension,).
        step: Its first standard deviation.
        samples: Points per update; an update is skipped where fewer than half of them came.

    Example:
        >>> distribution = CmaDistribution(np.zeros(2), 0.5, 6)
        >>> distribution.point(np.array([1.0, 0.0])).tolist()
        [0.5, 0.0]
    """

    def __init__(self, centre: np.ndarray, step: float, samples: int) -> None:
        from deap.cma import Strategy

        self._strategy = Strategy(centre, step, lambda_=samples)

    @property
    def centre(self) -> np.ndarray:
        """The mean of the distribution, (dimension,)."""
        centre: np.ndarray = self._strategy.centroid
        return centre

    def point(self, deviates: np.ndarray) -> np.ndarray:
        """Return the point that standard normal deviates (dimension,) stand for."""
        strategy = self._strategy
        moved: np.ndarray = strategy.centroid + strategy.sigma * (strategy.BD @ deviates)
        return moved

    def update(self, told: Sequence[tuple[np.ndarray, float]]) -> None:
        """Move towards the best points.

        Args:
            told: Points (dimension,) and their losses; infinite after a failure.
        """
        points = [_Point(values, loss) for values, loss in told if np.isfinite(loss)]
        if len(points) >= self._strategy.mu:
            self._strategy.update(points)


class _Point(list[float]):
    """A point with a fitness, as DEAP wants it."""

    def __init__(self, values: np.ndarray, loss: float) -> None:
        super().__init__(values.tolist())
        self.fitness = -loss
