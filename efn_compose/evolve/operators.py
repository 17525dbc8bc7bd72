"""Selection, crossover and mutation with DEAP; the only file that imports it.

DEAP draws from Python's global generator. Every call here lends it the search's
own generator and puts the caller's back, so that a search is reproducible and
disturbs nobody. Genomes are tuples outside and lists inside: DEAP's crossover
silently loses genes of numpy arrays.
"""

import itertools
import random
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager

from deap import base, tools

from efn_compose.compose import Genome, GenomeSpace

#: Share of crossovers that cut between blocks instead of at stage borders.
_INNER_CUT_RATE = 0.25
#: Share of mutations that give a whole stage to one donor.
_STAGE_MUTATION_RATE = 0.25


class _Fitness(base.Fitness):
    weights = (-1.0,)


class _Individual(list):
    """A genome with a fitness, as DEAP wants it."""

    def __init__(self, genome: Genome, loss: float) -> None:
        super().__init__(genome)
        self.fitness = _Fitness((loss,))


class _Individuals(Sequence):
    """Individuals made when they are drawn: a tournament looks at few of them."""

    def __init__(self, losses: Mapping[Genome, float]) -> None:
        self._entries = list(losses.items())

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, number: int) -> _Individual:
        return _Individual(*self._entries[number])


@contextmanager
def _borrowed(generator: random.Random) -> Iterator[None]:
    """Let DEAP draw from `generator` for a while."""
    state = random.getstate()
    random.setstate(generator.getstate())
    try:
        yield
    finally:
        generator.setstate(random.getstate())
        random.setstate(state)


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
    return tuple(tuple(gene for piece in child for gene in piece) for child in pieces)


def mutate(
    genome: Genome, space: GenomeSpace, expected_changes: float, generator: random.Random
) -> Genome:
    """Change some genes of a genome, at least one where any can change.

    Args:
        genome: A genome of `space`.
        space: Knows how many values each gene has.
        expected_changes: Mean number of genes redrawn.
        generator: Source of randomness; advanced.
    """
    if max(space.cardinalities) < 2:
        return genome
    if generator.random() < _STAGE_MUTATION_RATE:
        return _mutate_stage(genome, space, generator)
    upper = [count - 1 for count in space.cardinalities]
    rate = min(1.0, max(expected_changes, 0.5) / len(genome))
    child = list(genome)
    with _borrowed(generator):
        while tuple(child) == genome:
            tools.mutUniformInt(child, [0] * len(child), upper, rate)
    return tuple(child)


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
    for place, locus in enumerate(space.loci):
        if locus.name.endswith("_second"):
            child[place] = generator.choice((one, other))
        elif locus.name.endswith(("_fraction", "_rule")):
            # The largest share, by one of the random rules: siblings' units weigh alike.
            count = space.cardinalities[place]
            is_share = locus.name.endswith("_fraction")
            child[place] = count - 1 if is_share else generator.randrange(1, count)
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
    donor = generator.randrange(space.donor_count)
    genome: Genome = ()
    for start, stop in itertools.pairwise(cuts):
        if generator.random() < switch_rate:
            donor = generator.randrange(space.donor_count)
        genome += space.pure(donor)[start:stop]
    has_details = max(space.cardinalities) > space.donor_count
    if has_details and generator.random() < 0.5:
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
        parents = select(losses, 2, tournament, generator)
        crossed = generator.random() < crossover_rate and parents[0] != parents[1]
        candidates: Sequence[Genome] = cross(*parents, space, generator) if crossed else parents
        child = candidates[0]
        child = space.canonical(child)
        if not crossed or child in known or child in children or generator.random() < 0.5:
            child = space.canonical(mutate(child, space, mutations, generator))
        if child not in known and child not in children:
            children.append(child)
    return children
