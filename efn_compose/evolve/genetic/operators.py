"""Selection, crossover and mutation with DEAP; the only file that imports it.

DEAP draws from Python's global generator. Every call here lends it the search's
own one instead, so that a search is reproducible and disturbs nobody. Genomes are
tuples outside and lists inside: DEAP's crossover silently loses genes of numpy arrays.
"""

import itertools
import random
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

from deap import base, tools
from deap.tools import crossover, mutation, selection

from efn_compose.compose import Genome, GenomeSpace
from efn_compose.compose.unit_space import FRACTIONS, RANDOM_RULES

#: Share of crossovers that cut between blocks instead of at stage borders.
_INNER_CUT_RATE = 0.25
#: Share of mutations that give a whole stage to one donor.
_STAGE_MUTATION_RATE = 0.25
#: Share of mutations that change a block's genes together, where it has several.
_BLOCK_MUTATION_RATE = 0.25
#: Exponent of the law by which mutation strengths and lengths of runs are drawn.
_TAIL = 1.5


#: Files of DEAP that draw.
_DRAWING = (crossover, mutation, selection)


class _Fitness(base.Fitness):
    weights = (-1.0,)


class _Individual(list[int]):
    """A genome with a fitness, as DEAP wants it."""

    def __init__(self, genome: Genome, loss: float) -> None:
        super().__init__(genome)
        self.fitness = _Fitness((loss,))


class _Individuals:
    """Individuals made when they are drawn: a tournament looks at few of them."""

    def __init__(self, losses: Mapping[Genome, float]) -> None:
        self._entries = list(losses.items())

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: int) -> _Individual:
        return _Individual(*self._entries[number])


@contextmanager
def _borrowed(generator: random.Random) -> Iterator[None]:
    """Let DEAP draw from `generator` for a while: to its files, it is the module `random`."""
    for module in _DRAWING:
        module.random = generator
    try:
        yield
    finally:
        for module in _DRAWING:
            module.random = random


def select(
    losses: Mapping[Genome, float], count: int, tournament: int, generator: random.Random
) -> list[Genome]:
    """Select parents by tournament.

    Args:
        losses: Finite loss by genome; smaller is better.
        count: Number of parents.
        tournament: Genomes per tournament.
        generator: Source of randomness; advanced.

    Example:
        >>> select({(0,): 1.0, (1,): 0.5}, 1, 8, random.Random(0))
        [(1,)]
    """
    individuals = _Individuals(losses)
    with _borrowed(generator):
        chosen = tools.selTournament(individuals, count, tournament)
    return [tuple(individual) for individual in chosen]


def cross(
    first: Genome, second: Genome, space: GenomeSpace, generator: random.Random
) -> tuple[Genome, Genome]:
    """Cross two genomes at two points, mostly stage borders: neighbouring layers are co-adapted.

    Args:
        first: A genome of `space`.
        second: Another.
        space: Knows where stages begin.
        generator: Source of randomness; advanced.
    """
    borders = (0, *space.stage_borders, len(first))
    inner = generator.random() < _INNER_CUT_RATE
    cuts = range(len(first) + 1) if inner else borders
    pairs = list(itertools.pairwise(cuts))
    pieces = [[list(genome[a:b]) for a, b in pairs] for genome in (first, second)]
    with _borrowed(generator):
        if len(pairs) > 1:
            tools.cxTwoPoint(*pieces)
    one, other = (tuple(gene for piece in child for gene in piece) for child in pieces)
    return one, other


def mutate(
    genome: Genome, space: GenomeSpace, expected_changes: float, generator: random.Random
) -> Genome:
    """Change some genes of a genome: a stage's, a block's, or any, then at least one.

    How many of any is heavy-tailed: mostly few, sometimes many, which leaves local optima
    that a fixed rate does not leave (Doerr et al. 2017, arXiv:1703.03334).

    Args:
        genome: A genome of `space`.
        space: Knows how many values each gene has.
        expected_changes: Mean number of genes redrawn where the strength is least.
        generator: Source of randomness; advanced.
    """
    if max(space.cardinalities) < 2:
        return genome
    kind = generator.random()
    if kind < _STAGE_MUTATION_RATE:
        return _mutate_stage(genome, space, generator)
    if space.clusters and kind < _STAGE_MUTATION_RATE + _BLOCK_MUTATION_RATE:
        return _mutate_block(genome, space, generator)
    upper = [count - 1 for count in space.cardinalities]
    strength = power_law(max(1, len(genome) // 2), generator)
    rate = min(0.5, max(expected_changes, 0.5) * strength / len(genome))
    child = list(genome)
    with _borrowed(generator):
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


def _mutate_block(genome: Genome, space: GenomeSpace, generator: random.Random) -> Genome:
    """Redraw what a block is made of, or give a run of its units to one donor.

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


def _mutate_stage(genome: Genome, space: GenomeSpace, generator: random.Random) -> Genome:
    borders = (0, *space.stage_borders, len(genome))
    number = generator.randrange(len(borders) - 1)
    start, stop = borders[number], borders[number + 1]
    donor = generator.randrange(space.donor_count)
    return genome[:start] + space.pure(donor)[start:stop] + genome[stop:]


def mix(one: int, other: int, space: GenomeSpace, generator: random.Random) -> Genome:
    """Return a genome that takes parts from two donors, and none from others.

    Two cuts along depth; where genes choose units, half of every block's units besides.

    Args:
        one: A donor number.
        other: Another.
        space: The genome space.
        generator: Source of randomness; advanced.
    """
    child = list(cross(space.pure(one), space.pure(other), space, generator)[0])
    for start, stop in space.clusters:
        if space.granularity == "filter":
            child[start:stop] = [generator.choice((one, other)) for _ in range(start, stop)]
        else:
            # The largest share, by one of the random rules: siblings' units weigh alike.
            second = generator.choice((one, other))
            child[start:stop] = second, len(FRACTIONS) - 1, generator.choice(list(RANDOM_RULES))
    return space.canonical(child)


def few_switches(space: GenomeSpace, generator: random.Random) -> Genome:
    """Return a random walk over donors along depth that switches twice on average.

    Where genes say more than a donor, half of the walks also get a mutation.

    Args:
        space: The genome space.
        generator: Source of randomness; advanced.
    """
    cuts = [0, *space.switch_positions, len(space.loci)]
    switch_rate = 2 / (len(cuts) - 1)
    pure = [space.pure(donor) for donor in range(space.donor_count)]
    donor = generator.randrange(space.donor_count)
    genes: list[int] = []
    for start, stop in itertools.pairwise(cuts):
        if generator.random() < switch_rate:
            donor = generator.randrange(space.donor_count)
        genes += pure[donor][start:stop]
    genome = tuple(genes)
    if space.clusters and generator.random() < 0.5:
        genome = mutate(genome, space, 1.0, generator)
    return space.canonical(genome)


def breed(
    losses: Mapping[Genome, float],
    known: Container[Genome],
    count: int,
    space: GenomeSpace,
    *,
    tournament: int,
    crossover_rate: float,
    mutations: float,
    generator: random.Random,
) -> list[Genome]:
    """Breed children that were never evaluated before.

    Args:
        losses: The parents' losses.
        known: Genomes already paid for; children are never among them.
        count: Children wanted; fewer come back where the space is nearly exhausted.
        space: The genome space.
        tournament: Genomes per tournament.
        crossover_rate: Share of children with two parents.
        mutations: Mean number of genes redrawn per mutation.
        generator: Source of randomness; advanced.
    """
    children: list[Genome] = []
    for _ in range(100 * count):
        if len(children) == count:
            break
        child, other = select(losses, 2, tournament, generator)
        crossed = generator.random() < crossover_rate and child != other
        if crossed:
            child, _ = cross(child, other, space, generator)
        child = space.canonical(child)
        if not crossed or child in known or child in children or generator.random() < 0.5:
            child = space.canonical(mutate(child, space, mutations, generator))
        if child not in known and child not in children:
            children.append(child)
    return children
