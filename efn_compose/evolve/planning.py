"""How many evaluations each phase of a run makes."""

import math

from efn_compose.evolve.options import BudgetOptions, SearchOptions


def generation_size(search: SearchOptions) -> int:
    """Return the number of evaluations of a generation after the first, at most."""
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
    contestants = search.finalists + donor_count + 1
    plan = {
        "noise": search.noise_repeats * min(2, donor_count),
        "search": first + search.generations * generation_size(search),
        "final": contestants * search.final_seeds,
        "test": search.final_seeds,
    }
    if budget is not None and budget.evaluations:
        rest = plan["noise"] + plan["final"] + plan["test"]
        plan["search"] = max(first, budget.evaluations - rest)
    return plan
