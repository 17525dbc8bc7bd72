"""How many evaluations each phase of a run makes, and how long they take one after the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from efn_compose.evolve.options import BudgetOptions, FinalsOptions

#: Trainings after the last evaluation, for the pictures of the report: best donor and challenger.
PICTURES = 2


@dataclass(frozen=True)
class Plan:
    """The most that a run can cost.

    Args:
        phases: Evaluations by phase: "noise", "search", "final", "test".
        rounds: Wall time of the search, in units of one evaluation.
        rounds_of_rest: The same of noise, finals, test and the report's pictures.
        networks: Trained networks that lie on disk at once.
        note: A sentence about workers that will have nothing to do; empty if all have work.
    """

    phases: Mapping[str, int]
    rounds: float
    rounds_of_rest: int
    networks: int = 0
    note: str = ""

    @property
    def evaluations(self) -> int:
        """Of the whole run."""
        return sum(self.phases.values())


def plan_phases(
    finals: FinalsOptions,
    donor_count: int,
    rivals: int,
    sizes: Sequence[int],
    budget: BudgetOptions,
) -> dict[str, int]:
    """Return the most evaluations of each phase.

    Args:
        finals: Repeats, finalists, seeds.
        donor_count: Donors of the run, siblings included.
        rivals: Contestants besides finalists, donors and the donors' average.
        sizes: Evaluations of each generation.
        budget: One of evaluations decides the search's share.

    Example:
        >>> plan_phases(FinalsOptions(), 2, 0, [4, 4, 4], BudgetOptions())
        {'noise': 10, 'search': 12, 'final': 35, 'test': 5}
    """
    contestants = finals.finalists + donor_count + 1 + rivals
    phases = {
        "noise": finals.noise_repeats * min(2, donor_count),
        "search": sum(sizes),
        "final": contestants * finals.final_seeds,
        "test": finals.final_seeds,
    }
    if budget.evaluations:
        rest = phases["noise"] + phases["final"] + phases["test"]
        phases["search"] = max(sizes[0], budget.evaluations - rest)
    return phases


def rounds_of_rest(finals: FinalsOptions, phases: Mapping[str, int], workers: int) -> int:
    """Return the wall time of all but the search, in units of one evaluation.

    Noise, rivals, test and pictures are each awaited whole; finalists race seed by seed.

    Example:
        >>> finals = FinalsOptions(noise_repeats=3, finalists=2, final_seeds=4)
        >>> phases = plan_phases(finals, 2, 0, [16], BudgetOptions())
        >>> rounds_of_rest(finals, phases, workers=100)
        8
    """
    race = finals.final_seeds * math.ceil(finals.finalists / workers)
    rivals = phases["final"] - finals.finalists * finals.final_seeds
    whole = (phases["noise"], rivals, phases["test"], PICTURES)
    return race + sum(math.ceil(count / workers) for count in whole)
