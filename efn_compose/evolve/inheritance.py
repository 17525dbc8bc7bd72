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

import random
from collections.abc import Sequence

import numpy as np

from efn_compose.compose import GenomeSpace, Recipe, genome_space
from efn_compose.compose.compose import Tensors
from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineages
from efn_compose.errors import EvaluationError
from efn_compose.evolve.descendants import MEMORY, Descendants, descendants
from efn_compose.evolve.executor import Executor
from efn_compose.evolve.generational import goes_on
from efn_compose.evolve.ledger import Purpose
from efn_compose.evolve.operators import mix, select
from efn_compose.evolve.population import PopulationFolder
from efn_compose.evolve.search_loop import SearchLoop
from efn_compose.evolve.seeds import derive_seed
from efn_compose.evolve.tasks import EvaluationTask

#: Journal phase of the trainings of members.
TRAINING = "population"
PLAIN = "plain"
#: Share of children that are averages; the others take every part from one of two parents.
_AVERAGE_RATE = 0.5
#: Generations whose networks stay on disk whole; of earlier ones only what averages need does.
_WHOLE = 2
_MOST_MEMBERS = 4096


class LamarckianSearch:
    """Trains generation after generation of one lineage.

    Args:
        loop: Options, journal, watcher.
        donors: All donors of the run.
        executor: Holds the parents of the running generation.
        folder: Keeps the last generations.
    """

    def __init__(
        self,
        loop: SearchLoop,
        donors: Sequence[Donor],
        executor: Executor,
        folder: PopulationFolder,
    ) -> None:
        self.loop, self.donors, self.executor, self.folder = loop, donors, executor, folder
        self._plans: list[list[EvaluationTask]] = []
        self.losses: list[dict[int, float]] = []
        self._latest: tuple[int, list[Tensors]] | None = None

    def run(self) -> Descendants:
        """Run all generations and return the networks and averages for the finals.

        Raises:
            EvaluationError: A whole generation failed.
        """
        generator = random.Random(self.loop.search_seed)
        self._train(self._first())
        while goes_on(self.loop, len(self._plans) - 1, TRAINING):
            self._train(self._children(generator))
        return descendants(self)

    def _first(self) -> list[EvaluationTask]:
        """Return trainings of all donors, each as often as there is room."""
        count, space = len(self.donors), self.loop.space
        size = max(self.loop.options.population, count)
        return [self._task(0, n, Recipe.genome(space.pure(n % count))) for n in range(size)]

    def _best_lineage(self, losses: dict[int, float]) -> dict[int, float]:
        """Return only the members whose donors share a lineage with the best one's."""
        best = min(losses, key=losses.get) % len(self.donors)
        related = next(group for group in lineages(self.donors) if best in group)
        return {n: loss for n, loss in losses.items() if n % len(self.donors) in related}

    def _children(self, generator: random.Random) -> list[EvaluationTask]:
        """Return children of the last generation, and the plain network's next step last."""
        options, generation = self.loop.options, len(self._plans)
        space, losses = self._space(generation - 1), dict(self.losses[-1])
        plain = min(losses, key=losses.get) if generation == 1 else len(self._plans[-1]) - 1
        parents = {(n,): loss for n, loss in losses.items() if generation == 1 or n != plain}
        children = []
        for member in range(options.population):
            (one,), (other,) = select(parents, 2, options.tournament, generator)
            if one == other:
                recipe = Recipe.genome(space.pure(one))
            elif generator.random() < _AVERAGE_RATE:
                recipe = Recipe.blend([one, other], space.donor_count)
            else:
                recipe = Recipe.genome(mix(one, other, space, generator))
            children.append(self._task(generation, member, recipe))
        steps = options.population if options.reference == "budget" else 1
        step = self._task(generation, len(children), Recipe.genome(space.pure(plain)), steps)
        return [*children, step]

    def _task(self, generation: int, member: int, recipe: Recipe, steps: int = 1) -> EvaluationTask:
        return EvaluationTask(
            recipe,
            # Each member has an order of images of its own, or all would learn the same.
            seed=derive_seed(self.loop.seed, "member", generation * _MOST_MEMBERS + member),
            epochs=self.loop.epochs * steps,
            # One head to begin with: heads drawn apart are no use to an average.
            head_seed=derive_seed(self.loop.seed, "member", _MOST_MEMBERS - 1),
            keep_weights=True,
        )

    def _train(self, tasks: list[EvaluationTask]) -> None:
        """Train the next generation; keep its networks in memory and on disk."""
        generation = len(self._plans)
        names = [""] * (len(tasks) - 1) + [PLAIN if generation else ""]
        found = self.loop.ledger.evaluate(
            Purpose(TRAINING, generation), tasks, names, before=lambda: self._seat(generation - 1)
        )
        losses = {n: e.loss for n, e in enumerate(found) if e.loss is not None}
        is_plain_lost = bool(generation) and len(tasks) - 1 not in losses
        if is_plain_lost or len(losses) <= bool(generation):
            raise EvaluationError(
                f"Generation {generation} has no survivors, or the plain training failed. The "
                "journal says why; a smaller fitness.learning_rate often helps."
            )
        self._plans.append(tasks)
        self.losses.append(losses if generation else self._best_lineage(losses))
        best = min(
            (loss, (g, n)) for g, found in enumerate(self.losses) for n, loss in found.items()
        )
        self.loop.budget.believed(best[1], self.loop.ledger.count)
        fresh = {n: e.weights for n, e in enumerate(found) if e.weights is not None}
        for number, weights in fresh.items():
            self.folder.save(_name(generation, number), weights, self._origin(generation, number))
        if fresh:
            members = [
                fresh[n] if n in fresh else self._network(generation, n)
                for n in sorted(self.losses[generation])
            ]
            self._latest = generation, members
            self._keep_mean(generation, members)
        self._forget(generation)

    def _keep_mean(self, generation: int, members: list[Tensors]) -> Tensors:
        mean = _mean(members[:-1] if generation else members)
        self.folder.save(_mean_name(generation), mean, self._origin_of_mean(generation))
        return mean

    def _forget(self, generation: int) -> None:
        """Remove files that nothing needs any more: all but the means and the plain network."""
        whole = generation - _WHOLE
        if whole >= 0:
            plain = len(self._plans[whole]) - 1 if whole else -1
            for number in range(len(self._plans[whole])):
                if number != plain:
                    self.folder.forget(_name(whole, number))
        self.folder.forget(f"generation{generation - MEMORY:04d}_*")

    def members(self, generation: int) -> list[Tensors]:
        """Return the living members' tensors: from memory, from disk, or trained again."""
        if self._latest is None or self._latest[0] != generation:
            numbers = sorted(self.losses[generation])
            self._latest = generation, [self._network(generation, n) for n in numbers]
        return self._latest[1]

    def mean_of(self, generation: int) -> Tensors:
        """Return the mean of a generation's members: from disk, or made again."""
        kept = self.folder.load(_mean_name(generation), self._origin_of_mean(generation))
        return kept or self._keep_mean(generation, self.members(generation))

    def plain(self, generation: int) -> Tensors:
        """Return the plain network as it was after a generation, from the second one on."""
        return self._network(generation, len(self._plans[generation]) - 1)

    def _network(self, generation: int, number: int) -> Tensors:
        kept = self.folder.load(_name(generation, number), self._origin(generation, number))
        if kept is not None:
            return kept
        # The journal knows its score but the file is gone: the same training gives the same bits.
        self._seat(generation - 1)
        for _, outcome in self.executor.run([self._plans[generation][number]]):
            found = outcome.value
            if outcome.error is None and found.loss == self.losses[generation].get(number):
                return found.weights
            reason = outcome.error or f"its loss is {found.loss} now"
            raise EvaluationError(f"{_name(generation, number)} cannot be made again: {reason}.")
        raise EvaluationError("The executor did not answer.")

    def _seat(self, generation: int) -> None:
        """Give the executor a generation as donors; before the first stand the run's own."""
        if generation < 0:
            tensors = [donor.tensors for donor in self.donors]
            self.executor.set_donors(self.loop.space, tensors)
            return
        members = dict(zip(sorted(self.losses[generation]), self.members(generation), strict=True))
        # Nobody descends from the dead; their seats are only kept so that numbers fit.
        anybody = next(iter(members.values()))
        seats = [members.get(n, anybody) for n in range(len(self._plans[generation]))]
        self.executor.set_donors(self._space(generation), seats)

    def _space(self, generation: int) -> GenomeSpace:
        count = len(self._plans[generation])
        return genome_space(self.loop.space.spec, count, self.loop.options.granularity)

    def _origin(self, generation: int, number: int) -> dict[str, object]:
        task = self._plans[generation][number]
        return {
            "generation": generation,
            "member": number,
            "seed": task.seed,
            "epochs": task.epochs,
            "recipe": task.recipe.to_json(),
        }

    def _origin_of_mean(self, generation: int) -> dict[str, object]:
        origins = [self._origin(generation, n) for n in sorted(self.losses[generation])]
        return {"generation": generation, "mean_of": origins}


def _mean(networks: Sequence[Tensors]) -> dict[str, np.ndarray]:
    total = {name: np.array(values, np.float32) for name, values in networks[0].items()}
    for network in networks[1:]:
        for name, values in total.items():
            values += network[name]
    for values in total.values():
        values /= np.float32(len(networks))
    return total


def _mean_name(generation: int) -> str:
    return f"generation{generation:04d}_mean"


def _name(generation: int, number: int) -> str:
    return f"generation{generation:04d}_member{number:02d}"
