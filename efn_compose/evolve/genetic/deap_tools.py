"""DEAP's operators with a generator of our own; the only file that imports DEAP.

DEAP draws from Python's global generator. Lent the search's own one instead, a search is
reproducible and disturbs nobody. Genomes are tuples outside and lists inside: DEAP's crossover
silently loses genes of numpy arrays.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
