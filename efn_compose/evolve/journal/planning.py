"""How many evaluations each phase of a run makes."""

import itertools
import math

from efn_compose.evolve.options import MEMORY, WHOLE, BudgetOptions, SearchOptions

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


def generation_size(search: SearchOptions, generation: int = 1, donor_count: int = 1) -> int:
    """Return the number of evaluations of a generation, at most."""
    first = max(search.population, donor_count)
    if search.inheritance == "halving":
        return lines_left(search, first, generation) * branches_of(search, first, generation)
    if generation == 0:
        return first * (1 + len(search.rungs))
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
    # Of searches that train on: one network trained plainly; of some, its average.
    further = {"baldwin": 0, "halving": 1, "lamarck": 2}[search.inheritance]
    contestants = search.finalists + donor_count + 1 + further
    sizes = [generation_size(search, n, donor_count) for n in range(search.generations + 1)]
    plan = {
        "noise": search.noise_repeats * min(2, donor_count),
        "search": sum(sizes),
        "final": contestants * search.final_seeds,
        "test": search.final_seeds,
    }
    if budget is not None and budget.evaluations:
        rest = plan["noise"] + plan["final"] + plan["test"]
        plan["search"] = max(sizes[0], budget.evaluations - rest)
    return plan


def rounds_of_search(
    search: SearchOptions, donor_count: int, evaluations: int, workers: int
) -> float:
    """Return for how many evaluations, one after the other, a search lasts.

    A generation is awaited whole: where it is smaller than the workers are many, some have
    nothing to do.

    Example:
        >>> search = SearchOptions(inheritance="halving", population=1, generations=9)
        >>> rounds_of_search(search, donor_count=1, evaluations=10, workers=4)
        10
        >>> rounds_of_search(SearchOptions(mode="steady"), 1, evaluations=10, workers=4)
        2.5
    """
    if search.mode == "steady":
        return evaluations / workers
    sizes = (generation_size(search, n, donor_count) for n in itertools.count())
    rounds = 0
    while evaluations > 0:
        size = min(evaluations, next(sizes))
        rounds += math.ceil(size / workers)
        evaluations -= size
    return rounds


def evaluations_within(search: SearchOptions, donor_count: int, rounds: float, workers: int) -> int:
    """Return how many evaluations a search makes that lasts for so many, its first generation at least.

    Example:
        >>> search = SearchOptions(inheritance="halving", population=1, branches=2)
        >>> evaluations_within(search, donor_count=1, rounds=10, workers=4)
        20
    """
    if search.mode == "steady":
        return max(search.population, int(rounds * workers))
    found = generation = 0
    while True:
        size = generation_size(search, generation, donor_count)
        rounds -= math.ceil(size / workers)
        if generation and rounds < 0:
            return found
        found += size
        generation += 1


def rounds_of_rest(search: SearchOptions, donor_count: int, workers: int) -> int:
    """Return the same of noise, finals, test and the report's pictures; each is awaited whole.

    Example:
        >>> search = SearchOptions(noise_repeats=3, finalists=2, final_seeds=4)
        >>> rounds_of_rest(search, donor_count=2, workers=100)
        8
    """
    plan = planned_evaluations(search, donor_count)
    race = search.final_seeds * math.ceil(search.finalists / workers)  # seed by seed
    references = plan["final"] - search.finalists * search.final_seeds
    whole = (plan["noise"], references, plan["test"], PICTURES)
    return race + sum(math.ceil(count / workers) for count in whole)


def kept_networks(
    search: SearchOptions, donor_count: int, budget: BudgetOptions | None = None
) -> int:
    """Return how many trained networks lie on disk at once, at most.

    Example:
        >>> kept_networks(SearchOptions(inheritance="halving", population=1, generations=30), 1)
        17
        >>> kept_networks(SearchOptions(), donor_count=3)
        0
    """
    if search.inheritance == "baldwin":
        return 0
    is_long = budget is not None and budget.is_set
    count = max(search.generations + 1, 2 * MEMORY if is_long else 0)
    first = max(search.population, donor_count)
    sizes = [generation_size(search, n, donor_count) for n in range(count)]
    if search.inheritance == "lamarck":  # a mean and the plain network
        means, whole = [2] * count, sizes
    else:
        means = [lines_left(search, first, n + 1) for n in range(count)]
        branches = [branches_of(search, first, n) for n in range(count)]
        whole = [
            lines * each if each > 1 else 0 for lines, each in zip(means, branches, strict=True)
        ]
    most = 0
    for latest in range(count):
        # The newest is written whole before the oldest and the worse half go.
        earlier = range(max(0, latest - MEMORY), latest)
        kept = sum(means[n] + (whole[n] if n >= latest - WHOLE else 0) for n in earlier)
        most = max(most, kept + sizes[latest] + (means[latest] if whole[latest] else 0))
    return most


def workers_note(
    search: SearchOptions, donor_count: int, workers: int, budget: BudgetOptions | None = None
) -> str:
    """Return what to say of workers that a halving search leaves idle, and of branches it never makes.

    Example:
        >>> workers_note(SearchOptions(inheritance="halving", population=1, branches=2), 1, workers=2)
        ''
    """
    if search.inheritance != "halving":
        return ""
    first = max(search.population, donor_count)
    lines = min(first, search.lines)
    chosen = next(n for n in itertools.count() if lines_left(search, first, n) == lines)
    if not (budget is not None and budget.is_set) and chosen > search.generations:
        never = (
            f"search.branches = {search.branches} never begins: {lines} of {first} starts are left "
            f"from generation {chosen} on, and search.generations is {search.generations}"
        )
        return never if search.branches > 1 else ""
    idle, wanted = workers - lines * search.branches, workers // lines
    if idle <= 0:
        return ""
    left = "one training is" if lines * search.branches == 1 else f"{workers - idle} trainings are"
    note = f"{idle} of {workers} workers will have nothing to do once {left} left"
    if wanted > search.branches:
        used = (wanted - search.branches) * lines
        whom = f"{used} of them" if used < idle else "them" if idle > 1 else "it"
        note += f"; search.branches = {wanted} would use {whom}, in the same time"
    return note
