"""Lamarckian search: trained candidates are the donors of the next generation.

Networks that begin at one donor stay in one basin of the loss, so that they may be
averaged and mixed without alignment. Each generation trains every child for one
evaluation's epochs; children are averages or mixtures of two parents. What is put up
in the finals are averages over the last generations, which lie nearer to the middle of
the basin than any member (Izmailov et al. 2018, arXiv:1803.05407; Wortsman et al. 2022,
arXiv:2203.05482).

Beside the population one network is trained in the plain way, from the best member of
the first generation on. It is what every average must beat.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.compose import GenomeSpace, Recipe, genome_space
from efn_compose.compose.compose import Tensors
from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineages
from efn_compose.errors import EvaluationError
from efn_compose.evolve.executor import Executor
from efn_compose.evolve.generational import goes_on
from efn_compose.evolve.ledger import Purpose
from efn_compose.evolve.operators import mix, select
from efn_compose.evolve.population import PopulationFolder
from efn_compose.evolve.search_loop import SearchLoop
from efn_compose.evolve.seeds import derive_seed
from efn_compose.evolve.tasks import EvaluationTask

#: Journal phases: trainings of members, and scores of averages without training.
TRAINING, SCORING = "population", "soup"
PLAIN = "plain"
#: Name of the plainly trained network in the finals.
PLAIN_NETWORK = "trained"
#: Share of children that are averages; the others take every part from one of two parents.
_AVERAGE_RATE = 0.5
#: Generations that averages may reach back.
_MEMORY = 4
_MOST_MEMBERS = 4096


@dataclass(frozen=True)
class Descendants:
    """What a Lamarckian search hands to the finals.

    Args:
        networks: Tensors by name: the plainly trained donor first, then the parts of averages.
        candidates: Averages over the networks, best first by validation loss: name and the
            names of the networks averaged, one named twice counting twice.
    """

    networks: dict[str, Tensors]
    candidates: list[tuple[str, tuple[str, ...]]]


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
        self._losses: list[dict[int, float]] = []
        self._latest: tuple[int, list[Tensors]] | None = None
        self._means: dict[int, Tensors] = {}

    def run(self) -> Descendants:
        """Run all generations and return the networks and averages for the finals.

        Raises:
            EvaluationError: A whole generation failed.
        """
        generator = random.Random(self.loop.search_seed)
        self._train(self._first())
        while goes_on(self.loop, len(self._plans) - 1, TRAINING):
            self._train(self._children(generator))
        return self._descendants()

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
        space, losses = self._space(generation - 1), dict(self._losses[-1])
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
        self._losses.append(losses if generation else self._best_lineage(losses))
        best = min(
            (loss, (g, n)) for g, found in enumerate(self._losses) for n, loss in found.items()
        )
        self.loop.budget.believed(best[1], self.loop.ledger.count)
        fresh = {n: e.weights for n, e in enumerate(found) if e.weights is not None}
        for number, weights in fresh.items():
            self.folder.save(_name(generation, number), weights, self._origin(generation, number))
        if fresh:
            members = [
                fresh[n] if n in fresh else self._network(generation, n)
                for n in sorted(self._losses[generation])
            ]
            self._remember(generation, members)
        self.folder.forget(f"generation{generation - _MEMORY:04d}_")

    def _remember(self, generation: int, members: list[Tensors]) -> None:
        self._latest = generation, members
        self._means[generation] = _mean(members[:-1] if generation else members)
        self._means.pop(generation - _MEMORY, None)

    def _members(self, generation: int) -> list[Tensors]:
        """Return the living members' tensors: from memory, from disk, or trained again."""
        if self._latest is None or self._latest[0] != generation:
            numbers = sorted(self._losses[generation])
            self._remember(generation, [self._network(generation, n) for n in numbers])
        return self._latest[1]

    def _network(self, generation: int, number: int) -> Tensors:
        kept = self.folder.load(_name(generation, number), self._origin(generation, number))
        if kept is not None:
            return kept
        # The journal knows its score but the file is gone: the same training gives the same bits.
        self._seat(generation - 1)
        for _, outcome in self.executor.run([self._plans[generation][number]]):
            found = outcome.value
            if outcome.error is None and found.loss == self._losses[generation].get(number):
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
        members = dict(
            zip(sorted(self._losses[generation]), self._members(generation), strict=True)
        )
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

    def _descendants(self) -> Descendants:
        """Score averages of the last networks and return them, best first."""
        last = len(self._plans) - 1
        members = self._members(last)
        numbers = sorted(self._losses[last])
        networks: dict[str, Tensors] = {}
        if last:
            networks[PLAIN_NETWORK] = members[-1]
            numbers, members = numbers[:-1], members[:-1]
        names = [f"generation{last}_member{number}" for number in numbers]
        networks |= dict(zip(names, members, strict=True))
        losses = self._losses[last]
        by_loss = sorted(names, key=lambda name: losses[numbers[names.index(name)]])
        averages = {"best_member": (by_loss[0],)}
        for generation in range(last - 1, max(-1, last - _MEMORY), -1):
            if generation not in self._means:
                self._members(generation)
            networks[f"generation{generation}_mean"] = self._means[generation]
        for depth in (1, 2, _MEMORY):
            if depth <= last + 1:
                earlier = [f"generation{g}_mean" for g in range(last - 1, last - depth, -1)]
                # Members count once each, an earlier generation's mean as often as it had members.
                averages[f"average_of_{depth}"] = (*names, *(earlier * len(names)))
        score = _Scoring(self, networks)
        found = score.score(averages)
        chosen, loss = [by_loss[0]], found["best_member"]
        for name in by_loss[1:]:
            trial = score.score({"greedy": (*chosen, name)})["greedy"]
            if trial <= loss:
                chosen, loss = [*chosen, name], trial
        averages["greedy_average"], found["greedy_average"] = tuple(chosen), loss
        ranked = sorted((n for n in averages if found[n] < float("inf")), key=found.get)
        return Descendants(networks, [(name, averages[name]) for name in ranked])


class _Scoring:
    """Scores averages of networks on validation, BatchNorm re-estimated, without training."""

    def __init__(self, search: LamarckianSearch, networks: Mapping[str, Tensors]) -> None:
        self._loop, self._executor = search.loop, search.executor
        self._networks = networks

    def score(self, averages: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """Return validation losses by name; infinite for a failure."""
        recipes = {n: blend_of(members, list(self._networks)) for n, members in averages.items()}
        tasks = [EvaluationTask(recipe, seed=0, epochs=0.0) for recipe in recipes.values()]
        found = self._loop.ledger.evaluate(
            Purpose(SCORING), tasks, list(recipes), before=self._seat
        )
        return {
            name: float("inf") if e.loss is None else e.loss
            for name, e in zip(recipes, found, strict=True)
        }

    def _seat(self) -> None:
        space = genome_space(self._loop.space.spec, len(self._networks), "stage")
        self._executor.set_donors(space, list(self._networks.values()))


def blend_of(members: Sequence[str], names: Sequence[str]) -> Recipe:
    """Return the average of named networks as a recipe over all of them."""
    return Recipe.blend([names.index(member) for member in members], len(names))


def _mean(networks: Sequence[Tensors]) -> dict[str, np.ndarray]:
    total = {name: np.array(values, np.float32) for name, values in networks[0].items()}
    for network in networks[1:]:
        for name, values in total.items():
            values += network[name]
    for values in total.values():
        values /= np.float32(len(networks))
    return total


def _name(generation: int, number: int) -> str:
    return f"generation{generation:04d}_member{number:02d}"
