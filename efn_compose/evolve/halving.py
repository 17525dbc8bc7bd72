"""Halving: many starts trained a little, the better half further, the last one to the end.

Donors and compositions begin side by side. Whenever the trainings have become twice as
long, the worse half ends (successive halving, Jamieson & Talwalkar 2016,
arXiv:1502.07943), so that most of the budget goes into depth and little into choosing.
Each generation goes on from the trained weights of the one before, with a fresh optimizer:
its first steps are large, and the states it visits lie apart. What is put up in the finals
are averages over them (Izmailov et al. 2018, arXiv:1803.05407). On request a line goes on
from such an average every few generations (one step back after k forward: Zhang et al.
2019, arXiv:1907.08610).
"""

import itertools
import random
from collections import Counter

from efn_compose.compose import Genome, Recipe
from efn_compose.compose.compose import Tensors
from efn_compose.evolve.descendants import DEPTHS, Descendants, Scoring
from efn_compose.evolve.generational import goes_on
from efn_compose.evolve.generations import TRAINING, Generations, mean_of_networks, name_of
from efn_compose.evolve.operators import few_switches
from efn_compose.evolve.options import MEMORY
from efn_compose.evolve.planning import lines_left
from efn_compose.evolve.tasks import EvaluationTask
from efn_compose.evolve.verdict import LATEST_STATE

#: A line goes on from the mean of one in so many of its states, the latest.
_SHARE = 3


class HalvingSearch(Generations):
    """Trains lines of networks, fewer and fewer of them."""

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
        """Return where each line goes on from: its latest state, or the mean of the last few."""
        length, every = generation + 1, self.loop.options.lookahead
        if every == 1 or length % every:
            return super().parents(generation)
        reach = min(MEMORY, max(every, length // _SHARE))
        return {
            number: mean_of_networks(
                [self.network(*state) for state in self._line(generation, number)[:reach]]
            )
            for number in sorted(self.losses[generation])
        }

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
        tasks = []
        for member, genome in enumerate(genomes):
            # Different starts see images in one order, so that they can be compared.
            tasks.append(self.task(0, member, Recipe.genome(genome), order=seen[genome]))
            seen[genome] += 1
        return tasks

    def _next(self) -> list[EvaluationTask]:
        """Return one more training of every line that is left, the best first."""
        generation, space = len(self.plans), self.space(len(self.plans) - 1)
        losses = self.losses[-1]
        lines = sorted(losses, key=lambda n: (losses[n], n))
        return [
            self.task(generation, member, Recipe.genome(space.pure(line)), order=0)
            for member, line in enumerate(lines)
        ]

    def _advance(self, tasks: list[EvaluationTask]) -> None:
        generation = len(self.plans)
        losses = self.train(tasks, [""] * len(tasks))
        left = lines_left(self.loop.options, len(self.plans[0]), generation + 1)
        best = sorted(losses, key=lambda n: (losses[n], n))[:left]
        self.settle({n: losses[n] for n in best})
        for number in range(len(tasks)):
            if number not in best:
                self.folder.forget(name_of(generation, number))
        self.folder.forget(f"generation{generation - MEMORY:04d}_*")

    def _line(self, latest: int, number: int) -> list[tuple[int, int]]:
        """Return a member of a generation and all its ancestors, latest first."""
        found = []
        for generation in range(latest, -1, -1):
            found.append((generation, number))
            if generation:
                space = self.space(generation - 1)
                genome = self.plans[generation][number].recipe.values
                number = next(n for n in range(space.donor_count) if space.pure(n) == genome)
        return found

    def _descendants(self) -> Descendants:
        """Score averages along every line that is left and return them, best first."""
        losses = self.losses[-1]
        networks, averages, starts = {}, {}, {}
        for line, last in enumerate(sorted(losses, key=lambda n: (losses[n], n))):
            names = []
            ancestors = self._line(len(self.plans) - 1, last)
            start = self.plans[0][ancestors[-1][1]].recipe.values
            for generation, number in ancestors[:MEMORY]:
                # The best line's latest state is what its averages must beat.
                is_first = not networks
                name = LATEST_STATE if is_first else f"line{line}_generation{generation}"
                networks[name] = self.network(generation, number)
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
