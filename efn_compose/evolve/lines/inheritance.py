"""Lamarckian search: trained candidates are the donors of the next generation.

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

from efn_compose.compose import Genome, Recipe
from efn_compose.compose.averaging import Tensors
from efn_compose.errors import EvaluationError
from efn_compose.evolve.genetic.generational import goes_on
from efn_compose.evolve.genetic.operators import mix, select
from efn_compose.evolve.lines.descendants import Descendants, descendants
from efn_compose.evolve.lines.generations import TRAINING, Generations
from efn_compose.evolve.options import MEMORY, WHOLE
from efn_compose.evolve.workers.tasks import EvaluationTask

PLAIN = "plain"
#: Share of children that are averages; the others take every part from one of two parents.
_AVERAGE_RATE = 0.5


class LamarckianSearch(Generations):
    """Trains generation after generation of one lineage."""

    def run(self) -> Descendants:
        """Run all generations and return the networks and averages for the finals.

        Raises:
            EvaluationError: A whole generation failed.
        """
        generator = random.Random(self.loop.search_seed)
        self._advance(self._first())
        while goes_on(self.loop, len(self.plans) - 1, TRAINING):
            self._advance(self._children(generator))
        return descendants(self)

    def _first(self) -> list[EvaluationTask]:
        """Return trainings of all donors, each as often as there is room."""
        count, space = len(self.donors), self.loop.space
        size = max(self.loop.options.population, count)
        return [self.task(0, n, Recipe.genome(space.pure(n % count))) for n in range(size)]

    def _children(self, generator: random.Random) -> list[EvaluationTask]:
        """Return children of the last generation, and the plain network's next step last."""
        options, generation = self.loop.options, len(self.plans)
        space, losses = self.space(generation - 1), dict(self.losses[-1])
        plain = min(losses, key=losses.__getitem__) if generation == 1 else len(self.plans[-1]) - 1
        parents: dict[Genome, float] = {
            (n,): loss for n, loss in losses.items() if generation == 1 or n != plain
        }
        children = []
        for member in range(options.population):
            (one,), (other,) = select(parents, 2, options.tournament, generator)
            if one == other:
                recipe = Recipe.genome(space.pure(one))
            elif generator.random() < _AVERAGE_RATE:
                recipe = Recipe.blend([one, other], space.donor_count)
            else:
                recipe = Recipe.genome(mix(one, other, space, generator))
            children.append(self.task(generation, member, recipe))
        step = self.task(generation, len(children), Recipe.genome(space.pure(plain)))
        steps = options.population if options.reference == "budget" else 1
        return [*children, dataclasses.replace(step, epochs=step.epochs * steps)]

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
