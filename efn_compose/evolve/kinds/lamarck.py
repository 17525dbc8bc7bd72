"""`search.kind = "lamarck"`: trained candidates are the donors of the next generation.

Networks that begin at one donor stay in one basin of the loss, so that they may be
averaged and mixed without alignment. Each generation trains every child for one
evaluation's epochs; children are averages or mixtures of two parents. What is put up
in the finals are averages over the last generations (`descendants.py`).

Beside the population one network is trained in the plain way, from the best member of
the first generation on. That network, and the average of its own last states, are what
every average over the population must beat: much of what averaging gains it gains along
one training too.
"""

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from efn_compose.compose import Genome, GenomeSpace, Recipe
from efn_compose.compose.averaging import Tensors
from efn_compose.compose.unit_space import FRACTIONS, RANDOM_RULES
from efn_compose.donors import Donor
from efn_compose.errors import EvaluationError
from efn_compose.evolve.genetic.crossover.two_point import TwoPoint
from efn_compose.evolve.genetic.generational import goes_on
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.genetic.selection.tournament import Tournament
from efn_compose.evolve.journal.planning import Ending
from efn_compose.evolve.kinds.kind import Found, SearchKind, Workplace
from efn_compose.evolve.lines.descendants import (
    Descendants,
    descendants,
    networks_of,
    scores_of_averages,
)
from efn_compose.evolve.lines.generations import TRAINING, Generations
from efn_compose.evolve.lines.population import (
    MEMORY,
    WHOLE,
    PopulationFolder,
    most_kept,
    population_folder,
)
from efn_compose.evolve.options import BudgetOptions, FinalsOptions
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.tasks import EvaluationTask

PLAIN = "plain"
_SELECTION, _CROSSOVER = Tournament(), TwoPoint()
#: Share of children that are averages; the others take every part from one of two parents.
_AVERAGE_RATE = 0.5


@dataclass(frozen=True)
class Lamarck(SearchKind):
    """`[lamarck]`: children start from trained parents of one lineage, mixed or averaged.

    It writes an average over the last generations, with its classifier.

    Args:
        population: Trainings of a generation, besides one network that is trained plainly.
        generations: After the first, each of `fitness.epochs`.
    """

    name: ClassVar[str] = "lamarck"
    trains_on: ClassVar[bool] = True
    mixes_untrained: ClassVar[bool] = False
    keeps_one_lineage: ClassVar[bool] = True

    def size(self, generation: int, donor_count: int) -> int:
        """Return the most evaluations that a generation makes."""
        if generation == 0:
            return max(self.population, donor_count)
        return self.population + 1  # and the network that is trained plainly

    def ending(self, finals: FinalsOptions, generation: int, donor_count: int) -> Ending:
        """Return the most that follows a search."""
        members = self.population if generation else self.size(0, donor_count)
        averages, candidates = scores_of_averages(generation, members)
        # Donors, the network that is trained plainly, and the average of its states.
        rivals = donor_count + min(generation, 2)
        return Ending(averages, min(finals.finalists, candidates), rivals, finals.final_seeds)

    def search(self, loop: SearchLoop, workplace: Workplace, finalists: int) -> Found:
        """Train generations until their number or the budget is used up."""
        folder = population_folder(workplace.folder, workplace.donors[0])
        found = LamarckianSearch(self, loop, workplace.donors, workplace.executor, folder).run()
        return Found(descendants=found)

    def kept_networks(self, donor_count: int, budget: BudgetOptions) -> int:
        """Return the most trained networks that lie on disk at once."""
        count = max(self.generations + 1, 2 * MEMORY if budget.is_set else 0)
        sizes = [self.size(n, donor_count) for n in range(count)]
        return most_kept(sizes, [2] * count, sizes)  # a mean and the plain network

    def numbered_networks(self, donor_count: int, budget: BudgetOptions) -> dict[str, int]:
        """Return the most networks that genomes choose from, by what these are.

        Example:
            >>> Lamarck(population=300).numbered_networks(2, BudgetOptions())["trainings of a generation"]
            301
        """
        # The last generation is nobody's parent; a budget may end the search after any other one.
        last = MEMORY if budget.is_set else self.generations
        sizes = [self.size(n, donor_count) for n in range(min(last, 2))]
        ends = range(MEMORY + 1) if budget.is_set else [last]
        members = {n: self.population if n else self.size(0, donor_count) for n in ends}
        found = max(networks_of(n, size) for n, size in members.items())
        return {
            **super().numbered_networks(donor_count, budget),
            "trainings of a generation": max(sizes, default=0),
            "donors, the last generation, and earlier means and states": donor_count + found,
        }


class LamarckianSearch(Generations):
    """Trains generation after generation of one lineage."""

    def __init__(
        self,
        settings: Lamarck,
        loop: SearchLoop,
        donors: Sequence[Donor],
        executor: Executor,
        folder: PopulationFolder,
    ) -> None:
        super().__init__(loop, donors, executor, folder)
        self.settings = settings
        #: Number of the best donor; those of other lineages leave.
        self._founder = 0

    def run(self) -> Descendants:
        """Run all generations and return the networks and averages for the finals.

        Raises:
            EvaluationError: A whole generation failed.
        """
        generator = random.Random(self.loop.search_seed)
        self._advance(self._first())
        while goes_on(self.loop, len(self.plans) - 1, (TRAINING,)):
            self._advance(self._children(generator))
        return dataclasses.replace(descendants(self), founder=self._founder)

    def _first(self) -> list[EvaluationTask]:
        """Return trainings of all donors, each as often as there is room."""
        count, space = len(self.donors), self.loop.space
        size = max(self.settings.population, count)
        return [self.task(0, n, Recipe.genome(space.pure(n % count))) for n in range(size)]

    def _children(self, generator: random.Random) -> list[EvaluationTask]:
        """Return children of the last generation, and the plain network's next step last."""
        generation = len(self.plans)
        space, losses = self.space(generation - 1), dict(self.losses[-1])
        plain = min(losses, key=losses.__getitem__) if generation == 1 else len(self.plans[-1]) - 1
        parents: dict[Genome, float] = {
            (n,): loss for n, loss in losses.items() if generation == 1 or n != plain
        }
        children = []
        for member in range(self.settings.population):
            (one,), (other,) = _SELECTION.select(parents, 2, generator)
            if one == other:
                recipe = Recipe.genome(space.pure(one))
            elif generator.random() < _AVERAGE_RATE:
                recipe = Recipe.average_of([one, other], space.donor_count)
            else:
                recipe = Recipe.genome(mix(one, other, space, generator))
            children.append(self.task(generation, member, recipe))
        step = self.task(generation, len(children), Recipe.genome(space.pure(plain)))
        return [*children, step]

    def _advance(self, tasks: list[EvaluationTask]) -> None:
        """Train the next generation; keep what later ones and averages need."""
        generation = len(self.plans)
        losses = self.train(tasks, [""] * (len(tasks) - 1) + [PLAIN if generation else ""])
        if generation and (len(tasks) - 1 not in losses or len(losses) < 2):
            raise EvaluationError(
                f"Generation {generation} has no survivors, or the plain training failed. The "
                "journal says why; a smaller fitness.learning_rate often helps."
            )
        if not generation:
            count = len(self.donors)
            self._founder = min(losses, key=losses.__getitem__) % count
            living = self.of_best_lineage(losses, [n % count for n in range(len(tasks))])
            losses = {n: losses[n] for n in living}
        is_fresh = self.is_fresh
        self.settle(losses)
        if is_fresh:
            self._keep_means(generation)
        self.folder.forget(f"generation{generation - MEMORY:04d}_*")

    def mean_of(self, generation: int) -> Tensors:
        """Return the mean of a generation's members: from disk, or made again."""
        return self.mean(generation, self._averaged(generation))

    def _averaged(self, generation: int) -> list[int]:
        """Return the living members but the plain network."""
        numbers = sorted(self.losses[generation])
        return numbers[:-1] if generation else numbers

    def plain(self, generation: int) -> Tensors:
        """Return the plain network as it was after a generation, from the second one on."""
        return self.network(generation, len(self.plans[generation]) - 1)

    def _keep_means(self, generation: int) -> None:
        """Keep the means, and of earlier generations only the plain network besides."""
        whole = generation - WHOLE
        # A process that was stopped between two files may have left the earlier mean unmade.
        for number in (whole, generation):
            if number >= 0:
                self.keep_mean(number, self._averaged(number))
        if whole >= 0:
            plain = {len(self.plans[whole]) - 1} if whole else set()
            self.forget_members(whole, set(range(len(self.plans[whole]))) - plain)


def mix(one: int, other: int, space: GenomeSpace, generator: random.Random) -> Genome:
    """Return a genome that takes parts from two donors, and none from others.

    Two cuts along depth; where genes choose units, half of every block's units besides.

    Args:
        one: A donor number.
        other: Another.
        space: The genome space.
        generator: Source of randomness; advanced.
    """
    child = list(_CROSSOVER.cross(space.pure(one), space.pure(other), space, generator)[0])
    for start, stop in space.clusters:
        if space.granularity == "filter":
            child[start:stop] = [generator.choice((one, other)) for _ in range(start, stop)]
        else:
            # The largest share, by one of the random rules: siblings' units weigh alike.
            second = generator.choice((one, other))
            child[start:stop] = second, len(FRACTIONS) - 1, generator.choice(list(RANDOM_RULES))
    return space.canonical(child)
