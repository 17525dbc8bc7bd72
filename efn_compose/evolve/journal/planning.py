"""How many evaluations each phase of a run makes, and how long they take one after the other."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from efn_compose.evolve.options import FinalsOptions

#: Trainings after the last evaluation, for the pictures of the report: best donor and challenger.
PICTURES = 2


@dataclass(frozen=True)
class Ending:
    """The most that follows a search.

    Args:
        averages: Scores of averages of its networks, without training.
        finalists: Recipes that race in the finals.
        rivals: Contestants besides them.
        seeds: Evaluations of each contestant, and of the one that is tested.

    Example:
        >>> Ending(averages=4, finalists=3, rivals=3, seeds=5).evaluations
        39
    """

    averages: int
    finalists: int
    rivals: int
    seeds: int

    @property
    def phases(self) -> dict[str, int]:
        """Evaluations by phase; "averages" only where there are any."""
        averages = {"averages": self.averages} if self.averages else {}
        contestants = self.finalists + self.rivals
        return {**averages, "final": contestants * self.seeds, "test": self.seeds}

    @property
    def evaluations(self) -> int:
        """All of them together."""
        return sum(self.phases.values())


@dataclass(frozen=True)
class Plan:
    """The most that a run can cost.

    Args:
        phases: Evaluations by phase: "noise", "search", "averages", "final", "test"; without
            "averages" where a search makes none.
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


def noise_evaluations(finals: FinalsOptions, donor_count: int) -> int:
    """Return the evaluations that measure the noise: of the first and the last donor."""
    return finals.noise_repeats * min(2, donor_count)


def last_generation_within(
    evaluations: int, noise: int, size: Callable[[int], int], ending: Callable[[int], Ending]
) -> int:
    """Return the number of the last generation that a budget of evaluations pays for; 0 at least.

    Args:
        evaluations: Of the whole run.
        noise: Evaluations before the search.
        size: Returns the evaluations of a generation.
        ending: Returns what follows a search whose last generation has that number.

    Example:
        >>> ending = Ending(averages=0, finalists=3, rivals=3, seeds=5)
        >>> last_generation_within(54, 10, lambda generation: 4, lambda generation: ending)
        1
    """
    made = noise + size(0)
    for generation in itertools.count(1):
        made += size(generation)
        if made + ending(generation).evaluations > evaluations:
            return generation - 1
    raise AssertionError("generations have evaluations")


def rounds_of_rest(ending: Ending, noise: int, workers: int) -> int:
    """Return the wall time of all but the search, in units of one evaluation.

    Noise, averages, rivals, test and pictures are each awaited whole; finalists race seed by seed.

    Args:
        ending: What follows the search.
        noise: Evaluations before the search.
        workers: Evaluations at the same time.

    Example:
        >>> rounds_of_rest(Ending(averages=0, finalists=2, rivals=3, seeds=4), 6, workers=100)
        8
    """
    race = ending.seeds * math.ceil(ending.finalists / workers)
    whole = (noise, ending.averages, ending.rivals * ending.seeds, ending.seeds, PICTURES)
    return race + sum(math.ceil(count / workers) for count in whole)
