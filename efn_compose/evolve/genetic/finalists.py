"""What a search puts up in the end."""

from collections.abc import Collection, Sequence

import numpy as np

from efn_compose.compose import Genome, GenomeSpace, ShareGenomeSpace
from efn_compose.evolve.genetic.estimates import FitnessTable, Look
from efn_compose.evolve.genetic.shares.surrogate import CAUTIONS, Surrogate


def finalists(space: GenomeSpace, table: FitnessTable, count: int) -> list[Genome]:
    """Return the best guesses of a search, best first, without pure donors.

    Of choices these are the genomes with the best losses. Of shares they are minima of a model of
    all evaluations, whether or not anything was evaluated there: a single evaluation is luck for
    the most part. Where more are wanted than there are minima, evaluated genomes follow, by what the
    model carefully believes of them.

    Args:
        space: What genomes mean.
        table: All evaluations.
        count: The most that are wanted.
    """
    pure = {space.pure(donor) for donor in range(space.donor_count)}
    if isinstance(space, ShareGenomeSpace):
        found = _by_model(space, table.looks(), count, pure)
    else:
        found = list(table.leaders(count + len(pure)))
    return [genome for genome in dict.fromkeys(found) if genome not in pure][:count]


def _by_model(
    space: ShareGenomeSpace, looks: Sequence[Look], count: int, pure: Collection[Genome]
) -> list[Genome]:
    """Return minima of a surrogate, then evaluated genomes where these are fewer than are wanted."""
    if not looks:
        return []
    surrogate = Surrogate.of(space, looks)
    minima = [space.nearest(surrogate.minimum(caution)) for caution in CAUTIONS]
    if len(set(minima).difference(pure)) >= count:
        return minima
    genomes = list(dict.fromkeys(look.genome for look in looks))
    mean, deviation = surrogate.believed(np.array([space.shares(genome) for genome in genomes]))
    order = np.argsort(mean + CAUTIONS[0] * deviation, kind="stable")
    return [*minima, *(genomes[number] for number in order)]
