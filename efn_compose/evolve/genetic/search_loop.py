"""What every search loop works with, whether it waits for generations or not."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from efn_compose.compose import Genome, GenomeSpace, Recipe
from efn_compose.evolve.journal.budget import Budget
from efn_compose.evolve.journal.ledger import Ledger
from efn_compose.evolve.journal.seeds import derive_seed
from efn_compose.evolve.journal.watcher import RunWatcher
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask


@dataclass(frozen=True)
class SearchLoop:
    """The parts of a search that do not depend on its kind: donors, journal, budget, watcher.

    Args:
        seat: The donors and the space of their genomes.
        donor_names: By donor number.
        generations: After the first.
        size: Returns the most evaluations that a generation makes.
        ending: Returns the most evaluations that follow a search whose last generation has that number.
        epochs: Per evaluation.
        seed: The run's seed.
        noise: Variance of a score over seeds and its degrees of freedom.
        ledger: Answers evaluation tasks.
        budget: Says when to stop.
        watcher: Told about every generation.
    """

    seat: Seat
    donor_names: tuple[str, ...]
    generations: int
    size: Callable[[int], int]
    ending: Callable[[int], int]
    epochs: float
    seed: int
    noise: tuple[float, int]
    ledger: Ledger
    budget: Budget
    watcher: RunWatcher

    @property
    def space(self) -> GenomeSpace:
        """The genome space."""
        return self.seat.space

    @property
    def search_seed(self) -> int:
        """The seed of everything the search draws."""
        return derive_seed(self.seed, "search")

    def task(
        self, genome: Genome, generation: int, share: float = 1.0, *, per_image: bool = False
    ) -> EvaluationTask:
        """Return the task that evaluates a genome under its generation's seed.

        Args:
            genome: What to evaluate.
            generation: Whose seed to use.
            share: Of an evaluation's epochs; 0 probes untrained features instead.
            per_image: Ask which validation images are right.
        """
        seed = derive_seed(self.seed, "generation", generation)
        epochs = self.epochs * share
        return EvaluationTask(
            Recipe.genome(genome), seed, epochs, probe=share == 0, per_image=per_image
        )

    def arm(self, genome: Genome) -> str:
        """Return the donor's name for a pure genome, nothing for others."""
        return self._names_of_pure.get(genome, "")

    @cached_property
    def _names_of_pure(self) -> dict[Genome, str]:
        return {self.space.pure(n): name for n, name in enumerate(self.donor_names)}
