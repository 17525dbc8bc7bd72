"""`mutation = "heavy_tailed"`: a stage, a block, or a number of genes that is mostly small."""

import itertools
import random
from functools import lru_cache

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.crossover.base import ranges
from efn_compose.evolve.genetic.deap_tools import deap_tools
from efn_compose.evolve.genetic.mutation.base import Mutation
from efn_compose.evolve.genetic.operators import GeneSpace

#: Share of mutations that give a whole stage to one donor.
_STAGE_RATE = 0.25
#: Share of mutations that change a block's genes together, where it has several.
_BLOCK_RATE = 0.25
#: Exponent of the law by which strengths and lengths of runs are drawn.
_TAIL = 1.5


class HeavyTailed(Mutation):
    """Changes a stage's genes, a block's, or any, then at least one.

    How many of any is heavy-tailed: mostly few, sometimes many, which leaves local optima
    that a fixed rate does not leave (Doerr et al. 2017, arXiv:1703.03334).

    Args:
        expected_changes: Mean number of genes redrawn where the strength is least.
    """

    def __init__(self, expected_changes: float = 1.5) -> None:
        self.expected_changes = expected_changes

    def mutate(self, genome: Genome, space: GeneSpace, generator: random.Random) -> Genome:
        """Return a changed genome; see `Mutation`."""
        if max(space.cardinalities) < 2:
            return genome
        kind = generator.random()
        if kind < _STAGE_RATE:
            return _mutate_stage(genome, space, generator)
        if space.clusters and kind < _STAGE_RATE + _BLOCK_RATE:
            return _mutate_block(genome, space, generator)
        upper = [count - 1 for count in space.cardinalities]
        strength = power_law(max(1, len(genome) // 2), generator)
        rate = min(0.5, max(self.expected_changes, 0.5) * strength / len(genome))
        child = list(genome)
        with deap_tools(generator) as tools:
            while tuple(child) == genome:
                tools.mutUniformInt(child, [0] * len(child), upper, rate)
        return tuple(child)


def power_law(most: int, generator: random.Random) -> int:
    """Return a number from 1 to `most`, n with probability proportional to n to the power -1.5.

    Args:
        most: The largest number, at least 1.
        generator: Source of randomness; advanced.
    """
    numbers = range(1, most + 1)
    return generator.choices(numbers, cum_weights=_tail_weights(most))[0]


@lru_cache(maxsize=256)
def _tail_weights(most: int) -> list[float]:
    return list(itertools.accumulate(number**-_TAIL for number in range(1, most + 1)))


def _mutate_block(genome: Genome, space: GeneSpace, generator: random.Random) -> Genome:
    """Redraw a block's genes together, or give a run of its units to one donor.

    A single gene of a block often means nothing: a share needs a donor to take it from.
    """
    start, stop = generator.choice(space.clusters)
    if space.granularity == "filter":
        length = power_law(stop - start, generator)
        start = generator.randrange(start, stop - length + 1)
        return (
            genome[:start]
            + (generator.randrange(space.donor_count),) * length
            + genome[start + length :]
        )
    drawn = tuple(generator.randrange(count) for count in space.cardinalities[start:stop])
    return genome[:start] + drawn + genome[stop:]


def _mutate_stage(genome: Genome, space: GeneSpace, generator: random.Random) -> Genome:
    stages = ranges(space.stage_borders, len(genome))
    start, stop = stages[generator.randrange(len(stages))]
    donor = generator.randrange(space.donor_count)
    return genome[:start] + space.pure(donor)[start:stop] + genome[stop:]
