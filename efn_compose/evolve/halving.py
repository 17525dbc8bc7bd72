"""Halving: many starts trained a little, the better half further, the last one to the end.

Donors and compositions begin side by side. Whenever the trainings have become twice as
long, the worse half ends (successive halving, Jamieson & Talwalkar 2016,
arXiv:1502.07943), so that most of the budget goes into depth and little into choosing.
Each generation goes on from the trained weights of the one before, with a fresh optimizer:
its first steps are large, and the states it visits lie apart. What is put up in the finals
are averages over them (Izmailov et al. 2018, arXiv:1803.05407). On request a line goes on
from such an average every few generations (one step back after k forward: Zhang et al.
2019, arXiv:1907.08610).

Once the choice is made, each line may go on as several branches side by side: the same
weights, each in an own order of images, averaged after every generation (local SGD, Stich
2018, arXiv:1805.09767). Branches that part for no longer than that stay in one basin.
"""

import itertools
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from efn_compose.compose import Genome, Recipe
from efn_compose.compose.compose import Tensors
from efn_compose.donors import Donor
from efn_compose.evolve.descendants import DEPTHS, Descendants, Scoring
from efn_compose.evolve.executor import Executor
from efn_compose.evolve.generational import goes_on
from efn_compose.evolve.generations import (
    TRAINING,
    Generations,
    mean_of_networks,
    name_of,
)
from efn_compose.evolve.operators import few_switches
from efn_compose.evolve.options import MEMORY, WHOLE
from efn_compose.evolve.planning import branches_of, lines_left
from efn_compose.evolve.population import PopulationFolder
from efn_compose.evolve.search_loop import SearchLoop
from efn_compose.evolve.tasks import EvaluationTask
from efn_compose.evolve.verdict import LATEST_STATE

#: A line goes on from the mean of one in so many of its states, the latest.
_SHARE = 3


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
    """Trains lines of networks, fewer and fewer of them.

    Args:
        loop: Options, journal, watcher.
        donors: All donors of the run.
        executor: Holds the parents of the running generation.
        folder: Keeps the networks.
    """

    def __init__(
        self,
        loop: SearchLoop,
        donors: Sequence[Donor],
        executor: Executor,
        folder: PopulationFolder,
    ) -> None:
        super().__init__(loop, donors, executor, folder)
        #: By generation, its lines in the order of their trainings.
        self._lines: list[list[_Line]] = []

    def run(self) -> Descendants:
        """Run all generations and return the networks and averages for the finals.

        Raises:
            EvaluationError: A whole generation failed.
        """
        self._advance(self._first())
        while goes_on(self.loop, len(self.plans) - 1, TRAINING):
            self._advance(self._next())
        return self._descendants()

    def parents(self, generation: int) -> dict[int, Tensors]:
        """Return where members go on from: their latest states, or the mean of their line's last."""
        length, every = generation + 1, self.loop.options.lookahead
        if every == 1 or length % every:
            return super().parents(generation)
        reach = min(MEMORY, max(every, length // _SHARE))
        found = {}
        for place in self._ranked(generation):
            states = [self._state(*at) for at in self._ancestors(generation, place)[:reach]]
            mean = mean_of_networks(states)
            found |= dict.fromkeys(self._living(generation, place), mean)
        return found

    def _first(self) -> list[EvaluationTask]:
        """Return trainings of all donors and of compositions of them, until there is no room."""
        space, generator = self.loop.space, random.Random(self.loop.search_seed)
        genomes: list[Genome] = [space.pure(n) for n in range(space.donor_count)]
        wanted = max(self.loop.options.population, len(genomes))
        for _ in range(100 * wanted):  # a small space may hold fewer
            if len(genomes) == wanted:
                break
            genome = few_switches(space, generator)
            if genome not in genomes:
                genomes.append(genome)
        # Places left over go to donors once more: another order of images is another training.
        donors = itertools.cycle(genomes[: space.donor_count])
        genomes += itertools.islice(donors, wanted - len(genomes))
        seen: Counter[Genome] = Counter()
        orders = []
        for genome in genomes:
            # Different starts see images in one order, so that they can be compared.
            orders.append(seen[genome])
            seen[genome] += 1
        return self._plan([Recipe.genome(genome) for genome in genomes], orders)

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
                else Recipe.blend(members, space.donor_count)
            )
        return self._plan(recipes, [0] * len(recipes), places)

    def _plan(
        self, recipes: Sequence[Recipe], orders: Sequence[int], places: Sequence[int] = ()
    ) -> list[EvaluationTask]:
        """Note the lines of the next generation and return their trainings, branch by branch."""
        generation = len(self.plans)
        first = len(self._lines[0]) if self._lines else len(recipes)
        branches = branches_of(self.loop.options, first, generation)
        lines, tasks = [], []
        for recipe, order, parent in itertools.zip_longest(recipes, orders, places, fillvalue=-1):
            members = range(len(tasks), len(tasks) + branches)
            lines.append(_Line(tuple(members), parent))
            tasks += [
                self.task(generation, member, recipe, order=order * branches + branch)
                for branch, member in enumerate(members)
            ]
        self._lines.append(lines)
        return tasks

    def _advance(self, tasks: list[EvaluationTask]) -> None:
        generation = len(self.plans)
        losses = self.train(tasks, [""] * len(tasks))
        left = lines_left(self.loop.options, len(self._lines[0]), generation + 1)
        best = self._ranked(generation)[:left]
        numbers = {n for place in best for n in self._living(generation, place)}
        is_fresh = self.is_fresh
        self.settle({n: losses[n] for n in sorted(numbers)})
        for number in range(len(tasks)):
            if number not in numbers:
                self.folder.forget(name_of(generation, number))
        if branches_of(self.loop.options, len(self._lines[0]), generation) > 1:
            self._keep_means(generation, best if is_fresh else ())
        self.folder.forget(f"generation{generation - MEMORY:04d}_*")

    def _keep_means(self, generation: int, places: Sequence[int]) -> None:
        """Keep the means of lines, and of earlier generations nothing else."""
        for place in places:
            self._state(generation, self._living(generation, place))
        whole = generation - WHOLE
        for line in self._lines[whole] if whole >= 0 else ():
            for number in line.members if len(line.members) > 1 else ():
                self.folder.forget(name_of(whole, number))

    def _living(self, generation: int, place: int) -> list[int]:
        """Return the numbers of a line's members that live on."""
        return [n for n in self._lines[generation][place].members if n in self.losses[generation]]

    def _ranked(self, generation: int) -> list[int]:
        """Return the places of the lines that are left, by mean loss of their members."""
        losses = self.losses[generation]
        living = {p: self._living(generation, p) for p in range(len(self._lines[generation]))}
        means = {p: statistics.fmean(losses[n] for n in ns) for p, ns in living.items() if ns}
        return sorted(means, key=lambda place: (means[place], place))

    def _state(self, generation: int, members: Sequence[int]) -> Tensors:
        """Return what a line is after a generation: its network, or the mean of its branches."""
        if len(members) == 1:
            return self.network(generation, members[0])
        return self.mean(generation, members)

    def _ancestors(self, generation: int, place: int) -> list[tuple[int, list[int]]]:
        """Return a line's generations and living members, latest first."""
        found = []
        for number in range(generation, -1, -1):
            found.append((number, self._living(number, place)))
            place = self._lines[number][place].parent
        return found

    def _descendants(self) -> Descendants:
        """Score averages along every line that is left and return them, best first."""
        latest = len(self.plans) - 1
        networks, averages, starts = {}, {}, {}
        for line, place in enumerate(self._ranked(latest)):
            names = []
            ancestors = self._ancestors(latest, place)
            start = self.plans[0][ancestors[-1][1][0]].recipe.values
            for generation, members in ancestors[:MEMORY]:
                # The best line's latest state is what its averages must beat.
                is_first = not networks
                name = LATEST_STATE if is_first else f"line{line}_generation{generation}"
                networks[name] = self._state(generation, members)
                names.append(name)
                starts[name] = start
            averages |= {
                f"line{line}_average_of_{depth}": tuple(names[:depth])
                for depth in DEPTHS
                if 1 < depth <= len(names)
            }
        if not averages:
            averages = {"line0_latest": (LATEST_STATE,)}
        found = Scoring(self, networks).score(averages)
        ranked = sorted((n for n in averages if found[n] < float("inf")), key=found.get)
        return Descendants(networks, [(name, averages[name]) for name in ranked], {}, starts)
