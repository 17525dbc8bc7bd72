"""A kind of search: its settings, a plan of their cost, and the search itself."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from efn_compose.compose import Recipe
from efn_compose.donors import Donor
from efn_compose.evolve.genetic.crossover.base import Crossover
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.planning import (
    Ending,
    Plan,
    last_generation_within,
    noise_evaluations,
    rounds_of_rest,
)
from efn_compose.evolve.lines.descendants import Descendants
from efn_compose.evolve.options import BudgetOptions, FinalsOptions
from efn_compose.evolve.workers.executor import Executor
from efn_compose.settings.declare import setting


@dataclass(frozen=True)
class Workplace:
    """The donors, executor and folder of a search that trains networks.

    Args:
        donors: All donors of the run.
        executor: Trains.
        folder: The run folder.
    """

    donors: Sequence[Donor]
    executor: Executor
    folder: Path


@dataclass(frozen=True)
class Found:
    """The results that a search hands to the finals.

    Args:
        finalists: Compositions of donors, best first.
        effects: Luck of each generation's seed, as estimated.
        descendants: Trained networks and averages of them, in place of compositions.
        control: The best of as many random compositions, where they were asked for.
    """

    finalists: Sequence[Recipe] = ()
    effects: tuple[float, ...] = ()
    descendants: Descendants | None = None
    control: Sequence[Recipe] = ()


@dataclass(frozen=True)
class SearchKind(ABC):
    """A way to search. Its fields are its section of the configuration.

    A subclass gives the size of its generations, what follows them and the search; the cost follows.
    """

    #: Its name: of its section, and the value of `search.kind`.
    name: ClassVar[str]
    #: Whether candidates train on, so that the written weights may include a trained classifier.
    trains_on: ClassVar[bool] = False
    #: Whether untrained parts of several donors meet in a candidate.
    mixes_untrained: ClassVar[bool] = True
    #: Whether all that is written descends from one donor.
    keeps_one_lineage: ClassVar[bool] = False

    population: int = setting(16, "genomes that a generation keeps", minimum=1)
    generations: int = setting(
        6, "generations after the first, where nothing of [budget] is set", minimum=0
    )

    @abstractmethod
    def size(self, generation: int, donor_count: int) -> int:
        """Return the most evaluations that a generation makes.

        Args:
            generation: Its number, from 0.
            donor_count: Donors of the run, siblings included.
        """

    def ending(self, finals: FinalsOptions, generation: int, donor_count: int) -> Ending:
        """Return the most that follows a search.

        Args:
            finals: Repeats, finalists, seeds.
            generation: Number of its last generation, from 0.
            donor_count: Donors of the run, siblings included.
        """
        # Donors; their average, which races and is judged. The control has finalists of its own, and
        # its best is tested.
        rivals = donor_count + 2 + self.has_control * (finals.finalists + 1)
        return Ending(0, finals.finalists, rivals, finals.final_seeds)

    @abstractmethod
    def search(self, loop: SearchLoop, workplace: Workplace, finalists: int) -> Found:
        """Search until generations or budget are used up.

        Args:
            loop: Space, journal, budget, watcher.
            workplace: Donors, executor and folder.
            finalists: How many to put up in the finals.

        Raises:
            EvaluationError: Too many failures in a row, or a whole generation failed.
        """

    def plan(
        self,
        finals: FinalsOptions,
        donor_count: int,
        workers: int = 1,
        budget: BudgetOptions | None = None,
    ) -> Plan:
        """Return the most that a run can cost.

        A budget of evaluations decides the search's share. One of hours does not say how many
        there will be; the number of generations stands in for it.

        Args:
            finals: Repeats, finalists, seeds.
            donor_count: Donors of the run, siblings included.
            workers: Evaluations at the same time.
            budget: When the search ends; by its number of generations by default.
        """
        budget = budget or BudgetOptions()
        noise = noise_evaluations(finals, donor_count)

        def size(generation: int) -> int:
            return self.size(generation, donor_count)

        def ending_after(generation: int) -> Ending:
            return self.ending(finals, generation, donor_count)

        limit = budget.evaluations
        if limit:
            ending = ending_after(last_generation_within(limit, noise, size, ending_after))
            # A generation that turns out smaller may leave room for one more.
            search = max(size(0), limit - noise - ending.evaluations)
        else:
            ending = ending_after(self.generations)
            search = sum(size(number) for number in range(self.generations + 1))
        phases = {"noise": noise, "search": search, **ending.phases}
        return Plan(
            phases=phases,
            rounds=self.rounds(donor_count, search, workers),
            rounds_of_rest=rounds_of_rest(ending, noise, workers),
            networks=self.kept_networks(donor_count, budget),
            note=self.idle_note(donor_count, workers, budget),
        )

    def least_evaluations(self, finals: FinalsOptions, donor_count: int) -> int:
        """Return the evaluations of a run whose search ends after its first generation, at most."""
        noise, first = noise_evaluations(finals, donor_count), self.size(0, donor_count)
        return noise + first + self.ending(finals, 0, donor_count).evaluations

    def rounds(self, donor_count: int, evaluations: int, workers: int) -> float:
        """Return the wall time of a search, in units of one evaluation.

        A generation is awaited whole: where it is smaller than the number of workers, some have
        nothing to do.

        Args:
            donor_count: Donors of the run, siblings included.
            evaluations: Of the search.
            workers: Evaluations at the same time.
        """
        sizes = (self.size(number, donor_count) for number in itertools.count())
        rounds = 0
        while evaluations > 0:
            size = min(evaluations, next(sizes))
            rounds += math.ceil(size / workers)
            evaluations -= size
        return rounds

    def evaluations_within(self, donor_count: int, rounds: float, workers: int) -> int:
        """Return how many evaluations fit into `rounds` rounds; at least one generation.

        Args:
            donor_count: Donors of the run, siblings included.
            rounds: Wall time of the search, in units of one evaluation.
            workers: Evaluations at the same time.
        """
        found = generation = 0
        while True:
            size = self.size(generation, donor_count)
            rounds -= math.ceil(size / workers)
            if generation and rounds < 0:
                return found
            found += size
            generation += 1

    @property
    def has_control(self) -> bool:
        """Whether random compositions are evaluated beside the search's."""
        return False

    @property
    def share_setting(self) -> str:
        """The setting that needs genes to be shares; empty where none does."""
        return ""

    def crossing(self) -> Crossover | None:
        """Return what makes children of two parents, for lines of descent; None where nothing does."""
        return None

    def kept_networks(self, donor_count: int, budget: BudgetOptions) -> int:
        """Return the most trained networks that lie on disk at once."""
        return 0

    def numbered_networks(self, donor_count: int, budget: BudgetOptions) -> dict[str, int]:
        """Return the most networks that genomes choose from, by what these are.

        Args:
            donor_count: Donors of the run, siblings included.
            budget: When the search ends; its number of generations counts where it is not set.
        """
        return {"donors, siblings included": donor_count}

    def idle_note(self, donor_count: int, workers: int, budget: BudgetOptions) -> str:
        """Return a note on workers that will have nothing to do; empty if all have work."""
        return ""
