"""How many evaluations each phase of a run makes."""

import math

from efn_compose.evolve.options import BudgetOptions, SearchOptions

#: Trainings after the last evaluation, for the pictures of the report: best donor and challenger.
PICTURES = 2


def lines_left(search: SearchOptions, first: int, generation: int) -> int:
    """Return how many lines of a halving search are trained in a generation.

    Half of them end whenever the trainings have become twice as long.

    Args:
        search: Says how many lines go on to the end.
        first: Number of lines in the first generation.
        generation: Its number, from 0.

    Example:
        >>> [lines_left(SearchOptions(lines=1), 8, n) for n in range(9)]
        [8, 4, 2, 2, 1, 1, 1, 1, 1]
    """
    halvings = generation.bit_length()
    return min(first, max(search.lines, -(-first // 2**halvings)))


def branches_of(search: SearchOptions, first: int, generation: int) -> int:
    """Return as how many branches each line of a halving search is trained in a generation.

    Lines branch once as few are left as go on to the end.

    Example:
        >>> search = SearchOptions(inheritance="halving", branches=4)
        >>> [branches_of(search, 8, n) for n in range(6)]
        [1, 1, 1, 1, 4, 4]
    """
    return search.branches if lines_left(search, first, generation) <= search.lines else 1


def generation_size(search: SearchOptions, generation: int = 1) -> int:
    """Return the number of evaluations of a generation after the first, at most."""
    if search.inheritance == "halving":
        first = search.population
        return lines_left(search, first, generation) * branches_of(search, first, generation)
    if search.inheritance == "lamarck":
        return search.population + 1  # and one that is trained plainly
    # Each trusted rung sees a brood from which the next takes its share.
    broods = sum(
        math.ceil(search.population * search.rung_keep ** -(number + 1))
        for number in range(len(search.rungs))
    )
    return max(search.population, search.elites + 2) + broods


def planned_evaluations(
    search: SearchOptions, donor_count: int, budget: BudgetOptions | None = None
) -> dict[str, int]:
    """Return the number of evaluations of each phase, at most.

    A budget of evaluations decides the search's share. One of hours does not say how
    many there will be; the number of generations stands in for it.

    Example:
        >>> planned_evaluations(SearchOptions(population=4, generations=2), donor_count=2)["search"]
        12
    """
    first = max(search.population, donor_count) * (1 + len(search.rungs))
    if search.inheritance == "halving":
        first *= branches_of(search, first, 0)
    # Of searches that train on: one network trained plainly; of some, its average.
    further = {"baldwin": 0, "halving": 1, "lamarck": 2}[search.inheritance]
    contestants = search.finalists + donor_count + 1 + further
    later = sum(generation_size(search, n + 1) for n in range(search.generations))
    plan = {
        "noise": search.noise_repeats * min(2, donor_count),
        "search": first + later,
        "final": contestants * search.final_seeds,
        "test": search.final_seeds,
    }
    if budget is not None and budget.evaluations:
        rest = plan["noise"] + plan["final"] + plan["test"]
        plan["search"] = max(first, budget.evaluations - rest)
    return plan
