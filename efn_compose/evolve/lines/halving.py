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
2018, arXiv:1805.09767), so that they do not get far from each other.
"""

import itertools
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from efn_compose.compose import Genome, Recipe
from efn_compose.compose.averaging import Tensors
from efn_compose.evolve.genetic.generational import goes_on
from efn_compose.evolve.genetic.operators import few_switches
from efn_compose.evolve.journal.planning import branches_of, lines_left
from efn_compose.evolve.lines.descendants import DEPTHS, Descendants, Scoring
from efn_compose.evolve.lines.generations import (
    TRAINING,
    Generations,
    mean_of_networks,
)
from efn_compose.evolve.options import MEMORY, WHOLE
from efn_compose.evolve.verdict.verdict import LATEST_STATE
from efn_compose.evolve.workers.tasks import EvaluationTask

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
    """Trains lines of networks, fewer and fewer of them."""

    #: By generation, its lines in the order of their trainings.
    _lines: list[list[_Line]]

    def run(self) -> Descendants:
        """Run all generations and return the networks and averages for the finals.

        Raises:
            EvaluationError: A whole generation failed.
        """
        self._lines = []
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
        found: dict[int, Tensors] = {}
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
                else Recipe.blend(members, space.donor_count)
            )
        return self._plan(recipes, places)

    def _plan(self, recipes: Sequence[Recipe], parents: Sequence[int]) -> list[EvaluationTask]:
        """Note the lines of the next generation and return their trainings, branch by branch."""
        generation = len(self.plans)
        first = len(self._lines[0]) if self._lines else len(recipes)
        branches = branches_of(self.loop.options, first, generation)
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
        left = lines_left(self.loop.options, len(self._lines[0]), generation + 1)
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
        """Return what a line is after a generation: its network, or the mean of its branches."""
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
                # The best line's latest state is what its averages must beat.
                is_first = not networks
                name = LATEST_STATE if is_first else f"line{line}_generation{generation}"
                networks[name] = self._state(generation, ancestor)
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
        ranked = sorted((n for n in averages if found[n] < float("inf")), key=found.__getitem__)
        return Descendants(networks, [(name, averages[name]) for name in ranked], {}, starts)
