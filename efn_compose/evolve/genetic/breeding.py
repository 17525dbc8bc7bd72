"""Newcomers of a search: bred from parents, or drawn at random."""

import itertools
import random
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from efn_compose.compose import Genome, GenomeSpace, ShareGenomeSpace
from efn_compose.evolve.genetic.crossover.base import Crossover
from efn_compose.evolve.genetic.mutation.base import Mutation
from efn_compose.evolve.genetic.mutation.heavy_tailed import HeavyTailed
from efn_compose.evolve.genetic.operators import GeneSpace
from efn_compose.evolve.genetic.selection.base import Selection

#: Draws per genome wanted before a space counts as exhausted.
_TRIES = 100
#: Share of children with two parents.
_CROSSOVER_RATE = 0.8
#: Of the mutation that half of the drawn genomes get, where genes say more than a donor.
_FIRST_MUTATION = HeavyTailed(expected_changes=1.0)


class Breeder(Protocol):
    """Makes genomes that were never tried."""

    @property
    def needs_images(self) -> bool:
        """Whether evaluations must say which validation images are right."""

    def note(self, genome: Genome, solved: str) -> None:
        """Take the images that a genome got right, as `Evaluation.solved` has them."""

    def children(
        self,
        losses: Mapping[Genome, float],
        known: Container[Genome],
        count: int,
        space: GenomeSpace,
        generator: random.Random,
    ) -> list[Genome]:
        """Return new genomes; fewer where the space is nearly exhausted.

        Args:
            losses: Believed losses of the parents.
            known: Genomes that are not to be tried again.
            count: How many are wanted.
            space: The genome space.
            generator: Source of randomness; advanced.
        """


@dataclass(frozen=True)
class GeneticBreeder:
    """Breeds children of selected parents.

    Args:
        crossover: Makes most children of two parents.
        mutation: Changes half of these, and every child of one parent.
        selection: Chooses parents.
        solved: By genome, whether each validation image was right; filled by `note`.
    """

    crossover: Crossover
    mutation: Mutation
    selection: Selection
    solved: dict[Genome, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    @property
    def needs_images(self) -> bool:
        """Whether evaluations must say which validation images are right."""
        return self.selection.needs_images

    def note(self, genome: Genome, solved: str) -> None:
        """Take the images that a genome got right, as `Evaluation.solved` has them."""
        self.solved[genome] = np.unpackbits(np.frombuffer(bytes.fromhex(solved), np.uint8)) > 0

    def children(
        self,
        losses: Mapping[Genome, float],
        known: Container[Genome],
        count: int,
        space: GeneSpace,
        generator: random.Random,
    ) -> list[Genome]:
        """Return children; see `Breeder`."""
        children: list[Genome] = []
        for _ in range(_TRIES * count):
            if len(children) == count:
                break
            one, other = self.selection.select(losses, 2, generator, self.solved)
            is_crossed = generator.random() < _CROSSOVER_RATE and one != other
            child = self.crossover.cross(one, other, space, generator)[0] if is_crossed else one
            child = space.canonical(child)
            is_old = child in known or child in children
            if not is_crossed or is_old or generator.random() < 0.5:
                child = space.canonical(self.mutation.mutate(child, space, generator))
            if child not in known and child not in children:
                children.append(child)
        return children


class RandomBreeder:
    """Draws genomes with few switches of donor along depth; parents play no part."""

    needs_images = False

    def note(self, genome: Genome, solved: str) -> None:
        """Take nothing."""

    def children(
        self,
        losses: Mapping[Genome, float],
        known: Container[Genome],
        count: int,
        space: GenomeSpace,
        generator: random.Random,
    ) -> list[Genome]:
        """Return drawn genomes; see `Breeder`."""
        return draw(space, known, count, generator)


def draw(
    space: GenomeSpace, known: Container[Genome], count: int, generator: random.Random
) -> list[Genome]:
    """Return different genomes with few switches of donor along depth, none of them known.

    Args:
        space: The genome space; a small one may hold fewer than are wanted.
        known: Genomes that are not to be tried again.
        count: How many are wanted.
        generator: Source of randomness; advanced.
    """
    genomes: list[Genome] = []
    for _ in range(_TRIES * count):
        if len(genomes) == count:
            break
        genome = few_switches(space, generator)
        if genome not in known and genome not in genomes:
            genomes.append(genome)
    return genomes


def few_switches(space: GenomeSpace, generator: random.Random) -> Genome:
    """Return a random walk over donors along depth that switches twice on average.

    Where genes say more than a donor, half of the walks also get a mutation. Shares are drawn
    around a point between the donors instead.

    Args:
        space: The genome space.
        generator: Source of randomness; advanced.
    """
    if isinstance(space, ShareGenomeSpace):
        return space.draw(generator)
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
        genome = _FIRST_MUTATION.mutate(genome, space, generator)
    return space.canonical(genome)


class Known:
    """Genomes that are not to be tried again, looked up where they are kept anyway."""

    def __init__(self, *places: Container[Genome]) -> None:
        self._places = places

    def __contains__(self, genome: object) -> bool:
        return any(genome in place for place in self._places)
