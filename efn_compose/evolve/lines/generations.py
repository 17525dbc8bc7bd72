"""Generations of trained networks: planned, trained, kept, and made again where a file is lost.

The journal stays the single truth. It holds which trainings were made and what they
scored; the networks themselves are files beside it, and each names its origin.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from efn_compose.compose import GenomeSpace, Recipe, genome_space
from efn_compose.compose.averaging import Tensors
from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineages
from efn_compose.errors import EvaluationError
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.ledger import Purpose
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.lines.population import PopulationFolder
from efn_compose.evolve.workers.executor import Executor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask

#: Journal phase of the trainings of members.
TRAINING = "population"
_MOST_MEMBERS = 4096


class Generations:
    """The members of a search whose trained candidates are the next generation's parents.

    Args:
        loop: Space, journal, watcher.
        donors: All donors of the run.
        executor: Trains lost networks again.
        folder: Keeps the networks.
    """

    def __init__(
        self,
        loop: SearchLoop,
        donors: Sequence[Donor],
        executor: Executor,
        folder: PopulationFolder,
    ) -> None:
        self.loop, self.donors, self.executor, self.folder = loop, donors, executor, folder
        #: By generation, its trainings in order.
        self.plans: list[list[EvaluationTask]] = []
        #: By generation, the validation losses of its living members by number.
        self.losses: list[dict[int, float]] = []
        self._latest: tuple[int, list[Tensors]] | None = None
        #: Generation and first member of the means known to lie on disk.
        self._kept_means: set[tuple[int, int]] = set()

    def task(
        self,
        generation: int,
        member: int,
        recipe: Recipe,
        *,
        order: int | None = None,
    ) -> EvaluationTask:
        """Return the training of a member.

        Args:
            generation: Its generation.
            member: Its number.
            recipe: The weights that it starts from.
            order: Members of one order see images in the same order; their own by default,
                or all would learn the same.
        """
        number = generation * _MOST_MEMBERS + (member if order is None else order)
        return EvaluationTask(
            recipe,
            seed=derive_seed(self.loop.seed, "member", number),
            epochs=self.loop.epochs,
            # One head to begin with: heads drawn apart are no use to an average.
            head_seed=derive_seed(self.loop.seed, "member", _MOST_MEMBERS - 1),
            keep_weights=True,
        )

    def train(self, tasks: list[EvaluationTask], names: Sequence[str]) -> dict[int, float]:
        """Train the next generation, keep its networks on disk, and return its losses.

        Raises:
            EvaluationError: Nobody survived, or too many failures in a row.
        """
        generation = len(self.plans)
        self.plans.append(tasks)

        def keep(number: int, evaluation: Evaluation) -> None:
            # At once, not with the whole generation: a process may end before that.
            if evaluation.weights is not None:
                self._keep(generation, number, evaluation.weights)

        found = self.loop.ledger.evaluate(
            Purpose(TRAINING, generation), tasks, lambda: self._seat(generation - 1), names, keep
        )
        losses = {n: e.loss for n, e in enumerate(found) if e.loss is not None}
        if not losses:
            raise EvaluationError(
                f"Generation {generation} has no survivors. The journal says why; a smaller "
                "fitness.learning_rate often helps."
            )
        self.losses.append(losses)
        self.loop.budget.believed(self.best(), self.loop.ledger.count)
        self._fresh = {n: e.weights for n, e in enumerate(found) if e.weights is not None}
        return losses

    def _keep(self, generation: int, number: int, weights: Tensors) -> None:
        self.folder.save(name_of(generation, number), weights, self.origin(generation, number))

    def best(self) -> tuple[int, int]:
        """Return generation and number of the best member so far."""
        return min(
            (loss, (g, n)) for g, found in enumerate(self.losses) for n, loss in found.items()
        )[1]

    def settle(self, losses: dict[int, float]) -> None:
        """Say which members of the generation just trained live on."""
        generation = len(self.plans) - 1
        self.losses[generation] = losses
        if self._fresh:
            fresh = self._fresh
            members = [
                fresh[n] if n in fresh else self.network(generation, n) for n in sorted(losses)
            ]
            self._latest = generation, members
        self._fresh = {}

    @property
    def is_fresh(self) -> bool:
        """Whether any network of the generation just trained was trained in this process."""
        return bool(self._fresh)

    def members(self, generation: int) -> list[Tensors]:
        """Return the living members' tensors: from memory, from disk, or trained again."""
        if self._latest is None or self._latest[0] != generation:
            numbers = sorted(self.losses[generation])
            self._latest = generation, [self.network(generation, n) for n in numbers]
        return self._latest[1]

    def parents(self, generation: int) -> dict[int, Tensors]:
        """Return the living members by number: the next generation starts from them."""
        return dict(zip(sorted(self.losses[generation]), self.members(generation), strict=True))

    def network(self, generation: int, number: int) -> Tensors:
        """Return one member's tensors.

        Raises:
            EvaluationError: Its file is lost and the same training gave something else.
        """
        kept = self.folder.load(name_of(generation, number), self.origin(generation, number))
        if kept is not None:
            return kept
        return self._made_again(generation, number).weights or {}

    def _made_again(self, generation: int, number: int) -> Evaluation:
        """Train a member once more and keep it."""
        # The journal knows its score but the file is gone: the same training gives the same bits.
        seat = self._seat(generation - 1)
        for _, outcome in self.executor.run([self.plans[generation][number]], seat):
            found = outcome.value
            if outcome.error is None and found.loss == self.losses[generation].get(number):
                self._keep(generation, number, found.weights)
                return found
            reason = outcome.error or f"its loss is {found.loss} now"
            raise EvaluationError(f"{name_of(generation, number)} cannot be made again: {reason}.")
        raise EvaluationError("The executor did not answer.")

    def mean(self, generation: int, numbers: Sequence[int]) -> Tensors:
        """Return the mean of some of a generation's members: from disk, or made and kept."""
        name = f"generation{generation:04d}_mean{numbers[0]:02d}"
        parts = [self.origin(generation, number) for number in numbers]
        origin = {"generation": generation, "mean_of": parts}
        self._kept_means.add((generation, numbers[0]))
        kept = self.folder.load(name, origin)
        if kept is not None:
            return kept
        living = dict(zip(sorted(self.losses[generation]), self.members(generation), strict=True))
        mean = mean_of_networks([living[number] for number in numbers])
        self.folder.save(name, mean, origin)
        return mean

    def keep_mean(self, generation: int, numbers: Sequence[int]) -> None:
        """Make sure that a mean lies on disk; read again only what an earlier process kept."""
        if (generation, numbers[0]) not in self._kept_means:
            self.mean(generation, numbers)

    def forget_members(self, generation: int, numbers: Iterable[int]) -> None:
        """Remove the files of members that nothing needs any more."""
        for number in numbers:
            self.folder.forget(name_of(generation, number))

    def origin(self, generation: int, number: int) -> dict[str, object]:
        """Return the origin of a member, which decides whether a kept file is it."""
        task = self.plans[generation][number]
        return {
            "generation": generation,
            "member": number,
            "seed": task.seed,
            "epochs": task.epochs,
            "recipe": task.recipe.to_json(),
        }

    def space(self, generation: int) -> GenomeSpace:
        """Return the space over a generation's members, the dead included."""
        count = len(self.plans[generation])
        return genome_space(self.loop.space.spec, count, self.loop.space.granularity)

    def of_best_lineage(self, losses: Mapping[int, float], donor_of: Sequence[int]) -> set[int]:
        """Return the members whose donors share a lineage with the best one's.

        Args:
            losses: Of the first generation.
            donor_of: By member, its donor.
        """
        best = donor_of[min(losses, key=losses.__getitem__)]
        related = next(group for group in lineages(self.donors) if best in group)
        return {n for n in losses if donor_of[n] in related}

    def _seat(self, generation: int) -> Seat:
        """Return a generation as donors; before the first stand the run's own."""
        if generation < 0:
            return self.loop.seat
        members = self.parents(generation)
        # Nobody descends from the dead; their seats are only kept so that numbers fit.
        anybody = next(iter(members.values()))
        seats = [members.get(n, anybody) for n in range(len(self.plans[generation]))]
        return Seat(self.space(generation), seats)


def mean_of_networks(networks: Sequence[Tensors]) -> dict[str, np.ndarray]:
    """Return the plain mean of networks, tensor by tensor, float32."""
    total = {name: np.array(values, np.float32) for name, values in networks[0].items()}
    for network in networks[1:]:
        for name, values in total.items():
            values += network[name]
    for values in total.values():
        values /= np.float32(len(networks))
    return total


def name_of(generation: int, number: int) -> str:
    """Return the name of a member's file, without ending."""
    return f"generation{generation:04d}_member{number:02d}"
