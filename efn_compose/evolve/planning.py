"""How many evaluations each phase of a run makes."""

from efn_compose.evolve.options import SearchOptions


def planned_evaluations(search: SearchOptions, donor_count: int) -> dict[str, int]:
    """Return the number of evaluations of each phase, at most.

    Example:
        >>> planned_evaluations(SearchOptions(population=4, generations=2), donor_count=2)["search"]
        12
    """
    first = max(search.population, donor_count)
    per_generation = max(search.population, search.elites + 2)
    contestants = search.finalists + donor_count + 1
    return {
        "noise": search.noise_repeats * min(2, donor_count),
        "search": first + search.generations * per_generation,
        "final": contestants * search.final_seeds,
        "test": search.final_seeds,
    }
