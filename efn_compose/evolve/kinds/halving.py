"""`search.kind = "halving"`: many starts trained a little, the better half further, the last to the end.

Donors and compositions begin side by side. Whenever the trainings have become twice as
long, the worse half ends (successive halving, Jamieson & Talwalkar 2016,
arXiv:1502.07943), so that most of the budget goes into depth and little into choosing.
Each generation goes on from the trained weights of the one before. With a fresh optimizer its
first steps are large, and the states it visits lie apart. What is put up in the finals
are averages over them (Izmailov et al. 2018, arXiv:1803.05407).

Once the choice is made, each line may go on as several branches side by side: the same
weights, each in an own order of images, averaged after every generation (local SGD, Stich
2018, arXiv:1805.09767), so that they do not get far from each other.
"""

import itertools
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from efn_compose.compose import Genome, Recipe
from efn_compose.compose.averaging import Tensors
from efn_compose.donors import Donor
from efn_compose.evolve.genetic.breeding import few_switches
from efn_compose.evolve.genetic.generational import goes_on
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.planning import Ending
from efn_compose.evolve.kinds.kind import Found, SearchKind, Workplace
from efn_compose.evolve.lines.descendants import Descendants, Scoring, depths_within
from efn_compose.evolve.lines.generations import TRAINING, Generations
from efn_compose.evolve.lines.population import (
    MEMORY,
    WHOLE,
    PopulationFolder,
    most_kept,
    population_folder,
)
from efn_compose.evolve.options import BudgetOptions, FinalsOptions
from efn_compose.evolve.verdict.verdict import LATEST_STATE
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.tasks import EvaluationTask
from efn_compose.settings.declare import setting


@dataclass(frozen=True)
class Halving(SearchKind):
    """`[halving]`: donors and compositions begin side by side; whenever trainings double, half end.

    It writes an average along the last training, with its classifier.

    Args:
        population: Trainings of the first generation: donors, then compositions of them.
        generations: After the first, each of `fitness.epochs`.
        lines: Trainings of different starts that go on to the end.
        branches: Trainings that each of these is split into once the choice is made, side by side,
            averaged after every generation.
    """

    name: ClassVar[str] = "halving"
    trains_on: ClassVar[bool] = True

    lines: int = setting(1, "trainings that go on to the end", minimum=1)
    branches: int = setting(
        1,
        "copies of each line that train side by side and are averaged after every generation; one per "
        "worker keeps all workers busy",
        minimum=1,
    )

    def lines_left(self, first: int, generation: int) -> int:
        """Return how many lines are trained in a generation.

        Half of them end whenever the trainings have become twice as long.

        Args:
            first: Number of lines in the first generation.
            generation: Its number, from 0.

        Example:
            >>> [Halving(lines=1).lines_left(8, n) for n in range(9)]
            [8, 4, 2, 2, 1, 1, 1, 1, 1]
        """
        halvings = generation.bit_length()
        return min(first, max(self.lines, -(-first // 2**halvings)))

    def branches_in(self, first: int, generation: int) -> int:
        """Return as how many branches each line is trained in a generation.

        Lines branch once as few are left as go on to the end.

        Example:
            >>> [Halving(branches=4).branches_in(8, n) for n in range(6)]
            [1, 1, 1, 1, 4, 4]
        """
        return self.branches if self.lines_left(first, generation) <= self.lines else 1

    def size(self, generation: int, donor_count: int) -> int:
        """Return the most evaluations that a generation makes."""
        first = max(self.population, donor_count)
        return self.lines_left(first, generation) * self.branches_in(first, generation)

    def ending(self, finals: FinalsOptions, generation: int, donor_count: int) -> Ending:
        """Return the most that follows a search."""
        lines = self.lines_left(max(self.population, donor_count), generation + 1)
        averages = max(1, lines * len(depths_within(generation + 1)))
        # Donors, and the best line's latest state.
        finalists, rivals = min(finals.finalists, averages), donor_count + 1
        return Ending(averages, finalists, rivals, finals.final_seeds)

    def search(self, loop: SearchLoop, workplace: Workplace, finalists: int) -> Found:
        """Train lines until generations or budget are used up."""
        folder = population_folder(workplace.folder, workplace.donors[0])
        found = HalvingSearch(self, loop, workplace.donors, workplace.executor, folder).run()
        return Found(descendants=found)

    def kept_networks(self, donor_count: int, budget: BudgetOptions) -> int:
        """Return the most trained networks that lie on disk at once.

        Example:
            >>> Halving(population=1, generations=30).kept_networks(1, BudgetOptions())
            17
        """
        count = max(self.generations + 1, 2 * MEMORY if budget.is_set else 0)
        first = max(self.population, donor_count)
        means = [self.lines_left(first, n + 1) for n in range(count)]
        branches = [self.branches_in(first, n) for n in range(count)]
        whole = [
            lines * each if each > 1 else 0 for lines, each in zip(means, branches, strict=True)
        ]
        sizes = [self.size(n, donor_count) for n in range(count)]
        return most_kept(sizes, means, whole)

    def numbered_networks(self, donor_count: int, budget: BudgetOptions) -> dict[str, int]:
        """Return the most networks that genomes choose from, by what these are.

        Example:
            >>> Halving(population=300).numbered_networks(2, BudgetOptions())["trainings of a generation"]
            300
        """
        first = max(self.population, donor_count)
        # The last generation is nobody's parent. A budget may end the search after any other one, and
        # no line ends any more from generation `first` on.
        parents = (0, first) if budget.is_set else range(self.generations)
        ends = range(MEMORY) if budget.is_set else [self.generations]
        sizes = [self.size(n, donor_count) for n in parents]
        states = max(self.lines_left(first, n + 1) * min(n + 1, MEMORY) for n in ends)
        return {
            **super().numbered_networks(donor_count, budget),
            "trainings of a generation": max(sizes, default=0),
            "donors, and the latest states of all lines that are left": donor_count + states,
        }

    def idle_note(self, donor_count: int, workers: int, budget: BudgetOptions) -> str:
        """Return a note on workers left idle, and on branches that never begin.

        Example:
            >>> Halving(population=1, branches=2).idle_note(1, 2, BudgetOptions())
            ''
        """
        first = max(self.population, donor_count)
        lines = min(first, self.lines)
        chosen = next(n for n in itertools.count() if self.lines_left(first, n) == lines)
        if not budget.is_set and chosen > self.generations:
            if self.branches == 1:
                return ""
            return (
                f"halving.branches = {self.branches} never begins: {lines} of {first} starts are "
                f"left from generation {chosen} on, and halving.generations is {self.generations}"
            )
        idle, wanted = workers - lines * self.branches, workers // lines
        if idle <= 0:
            return ""
        one = lines * self.branches == 1
        left = "one training is" if one else f"{workers - idle} trainings are"
        note = f"{idle} of {workers} workers will have nothing to do once {left} left"
        if wanted > self.branches:
            used = (wanted - self.branches) * lines
            whom = f"{used} of them" if used < idle else "them" if idle > 1 else "it"
            note += f"; halving.branches = {wanted} would use {whom}, in the same time"
        return note


@dataclass(frozen=True)
class _Line:
    """One generation of a line.

    Args:
        members: Numbers of its trainings: one, or one per branch.
        parent: Place of the line it goes on from in the generation before.
    """

    members: tuple[int, ...]
    parent: int = -1


class HalvingSearch(Generations):
    """Trains lines of networks, fewer and fewer of them."""

    def __init__(
        self,
        settings: Halving,
        loop: SearchLoop,
        donors: Sequence[Donor],
        executor: Executor,
        folder: PopulationFolder,
    ) -> None:
        super().__init__(loop, donors, executor, folder)
        self.settings = settings
        #: By generation, its lines in the order of their trainings.
        self._lines: list[list[_Line]] = []

    def run(self) -> Descendants:
        """Run all generations and return the networks and averages for the finals.

        Raises:
            EvaluationError: A whole generation failed.
        """
        self._advance(self._first())
        while goes_on(self.loop, len(self.plans) - 1, (TRAINING,)):
            self._advance(self._next())
        return self._descendants()

    def _first(self) -> list[EvaluationTask]:
        """Return trainings of all donors and of compositions of them, until there is no room."""
        space, generator = self.loop.space, random.Random(self.loop.search_seed)
        genomes: list[Genome] = [space.pure(n) for n in range(space.donor_count)]
        wanted = max(self.settings.population, len(genomes))
        for _ in range(100 * wanted):  # a small space may hold fewer
            if len(genomes) == wanted:
                break
            genome = few_switches(space, generator)
            if genome not in genomes:
                genomes.append(genome)
        # Places left over go to donors once more: another order of images is another training.
        donors = itertools.cycle(genomes[: space.donor_count])
        genomes += itertools.islice(donors, wanted - len(genomes))
        return self._plan([Recipe.genome(genome) for genome in genomes], [-1] * wanted)

    def _next(self) -> list[EvaluationTask]:
        """Return further trainings of every line that is left, the best first."""
        latest = len(self.plans) - 1
        space, places = self.space(latest), self._ranked(latest)
        recipes = []
        for place in places:
            members = self._living(latest, place)
            is_one = len(members) == 1
            recipes.append(
                Recipe.genome(space.pure(members[0]))
                if is_one
                else Recipe.average_of(members, space.donor_count)
            )
        return self._plan(recipes, places)

    def _plan(self, recipes: Sequence[Recipe], parents: Sequence[int]) -> list[EvaluationTask]:
        """Note the lines of the next generation and return their trainings, branch by branch."""
        generation = len(self.plans)
        first = len(self._lines[0]) if self._lines else len(recipes)
        branches = self.settings.branches_in(first, generation)
        lines: list[_Line] = []
        tasks: list[EvaluationTask] = []
        for place, (recipe, parent) in enumerate(zip(recipes, parents, strict=True)):
            members = range(len(tasks), len(tasks) + branches)
            lines.append(_Line(tuple(members), parent))
            # Different starts see images in one order, so that they can be compared.
            order = recipes[:place].count(recipe)
            tasks += [
                self.task(generation, member, recipe, order=order * branches + branch)
                for branch, member in enumerate(members)
            ]
        self._lines.append(lines)
        return tasks

    def _advance(self, tasks: list[EvaluationTask]) -> None:
        generation = len(self.plans)
        losses = self.train(tasks, [""] * len(tasks))
        left = self.settings.lines_left(len(self._lines[0]), generation + 1)
        best = self._ranked(generation)[:left]
        numbers = {n for place in best for n in self._living(generation, place)}
        is_fresh = self.is_fresh
        self.settle({n: losses[n] for n in sorted(numbers)})
        self.forget_members(generation, set(range(len(tasks))) - numbers)
        if is_fresh:
            self._keep_means(generation)
        self.folder.forget(f"generation{generation - MEMORY:04d}_*")

    def _keep_means(self, generation: int) -> None:
        """Keep the means of lines that branch, and of earlier generations nothing else."""
        # A process that was stopped between two files may have left the earlier mean unmade.
        for number in (generation - WHOLE, generation):
            for place in self._ranked(number) if number >= 0 else ():
                if len(self._lines[number][place].members) > 1:
                    self.keep_mean(number, self._living(number, place))
        whole = generation - WHOLE
        for line in self._lines[whole] if whole >= 0 else ():
            if len(line.members) > 1:
                self.forget_members(whole, line.members)

    def best(self) -> tuple[int, int]:
        """Return generation and place of the best line so far, by mean loss of its members."""
        means = []
        for generation in range(len(self.losses)):
            place = self._ranked(generation)[0]
            means.append((self._mean_loss(generation, place), (generation, place)))
        return min(means)[1]

    def _living(self, generation: int, place: int) -> list[int]:
        """Return the numbers of a line's members that live on."""
        return [n for n in self._lines[generation][place].members if n in self.losses[generation]]

    def _mean_loss(self, generation: int, place: int) -> float:
        losses = self.losses[generation]
        return statistics.fmean(losses[n] for n in self._living(generation, place))

    def _ranked(self, generation: int) -> list[int]:
        """Return the places of the lines that are left, by mean loss of their members."""
        left = (p for p in range(len(self._lines[generation])) if self._living(generation, p))
        return sorted(left, key=lambda place: (self._mean_loss(generation, place), place))

    def _state(self, generation: int, place: int) -> Tensors:
        """Return a line's state after a generation: its network, or the mean of its branches."""
        members = self._living(generation, place)
        if len(self._lines[generation][place].members) == 1:
            return self.network(generation, members[0])
        return self.mean(generation, members)

    def _ancestors(self, generation: int, place: int) -> list[tuple[int, int]]:
        """Return a line's generations and its places in them, latest first."""
        found = []
        for number in range(generation, -1, -1):
            found.append((number, place))
            place = self._lines[number][place].parent
        return found

    def _descendants(self) -> Descendants:
        """Score averages along every line that is left and return them, best first."""
        latest = len(self.plans) - 1
        networks: dict[str, Tensors] = {}
        averages: dict[str, tuple[str, ...]] = {}
        starts: dict[str, Genome] = {}
        for line, place in enumerate(self._ranked(latest)):
            names = []
            ancestors = self._ancestors(latest, place)
            first = self._lines[0][ancestors[-1][1]].members[0]
            start = tuple(int(gene) for gene in self.plans[0][first].recipe.values)
            for generation, ancestor in ancestors[:MEMORY]:
                # The averages must beat the latest state of the best line.
                is_first = not networks
                name = LATEST_STATE if is_first else f"line{line}_generation{generation}"
                networks[name] = self._state(generation, ancestor)
                names.append(name)
                starts[name] = start
            averages |= {
                f"line{line}_average_of_{depth}": tuple(names[:depth])
                for depth in depths_within(len(names))
            }
        if not averages:
            averages = {"line0_latest": (LATEST_STATE,)}
        found = Scoring(self, networks).score(averages)
        ranked = sorted((n for n in averages if found[n] < float("inf")), key=found.__getitem__)
        return Descendants(networks, [(name, averages[name]) for name in ranked], {}, starts)
