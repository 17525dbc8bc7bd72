"""What a search puts up in the end."""

from efn_compose.compose import Genome, GenomeSpace, ShareGenomeSpace
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.shares.surrogate import CAUTIONS, Surrogate


def finalists(space: GenomeSpace, table: FitnessTable, count: int) -> list[Genome]:
    """Return the best guesses of a search, best first, without pure donors.

    Of choices these are the genomes with the best losses. Of shares they are minima of a model of
    all evaluations, whether or not anything was evaluated there: a single evaluation is luck for
    the most part.

    Args:
        space: What genomes mean.
        table: All evaluations.
        count: The most that are wanted.
    """
    pure = {space.pure(donor) for donor in range(space.donor_count)}
    if isinstance(space, ShareGenomeSpace):
        looks = table.looks()
        surrogate = Surrogate.of(space, looks) if looks else None
        found = [] if surrogate is None else [space.nearest(surrogate.minimum(c)) for c in CAUTIONS]
    else:
        found = list(table.leaders(count + len(pure)))
    return [genome for genome in dict.fromkeys(found) if genome not in pure][:count]
