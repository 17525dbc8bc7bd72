"""How a search stands, by the beliefs of its table: for its watchers and for readers of its journal."""

from collections.abc import Mapping

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.journal.watcher import Place, Standing


def best_donor(table: FitnessTable, pure: Mapping[int, Genome]) -> int | None:
    """Return the number of the pure donor with the smallest mean loss; None if all failed.

    Args:
        table: All scores.
        pure: Genome of each donor, by its number.
    """
    found = table.estimates(pure.values())
    alive = [number for number, genome in pure.items() if genome in found]
    return min(alive, key=lambda n: (found[pure[n]].mean, pure[n]), default=None)


def standing(table: FitnessTable, pure: Mapping[int, Genome]) -> Standing:
    """Return how a search stands, every loss being the believed one.

    Args:
        table: All scores.
        pure: Genome of each donor, by its number.

    Example:
        >>> table = FitnessTable()
        >>> table.add_generation({(0, 0): 0.5, (1, 1): 0.4, (0, 1): 0.3})
        >>> found = standing(table, {0: (0, 0), 1: (1, 1)})
        >>> found.best, found.best_donor.donor
        (Place(donor=None, loss=0.3, runs=1), 1)
    """
    best = next(iter(table.leaders(1)), None)
    numbers = {genome: number for number, genome in pure.items()}
    # A pure donor in the lead is compared with itself, whatever its rank by the plain mean.
    donor = None if best is None else numbers.get(best, best_donor(table, pure))
    found = table.estimates([*numbers, *([] if best is None else [best])])

    def place(genome: Genome | None) -> Place | None:
        if genome is None:
            return None
        return Place(numbers.get(genome), found[genome].shrunk, found[genome].runs)

    return Standing(
        best=place(best),
        best_donor=place(None if donor is None else pure[donor]),
        donors={n: found[genome].shrunk for n, genome in pure.items() if genome in found},
        mean=table.mean(),
        genomes=len(table),
    )
