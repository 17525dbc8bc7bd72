"""The generation loop's decisions: which genomes to run next. Pure given seed and scores."""

import math
import random
from collections.abc import Iterable, Sequence
from typing import Protocol

from efn_compose.compose import Genome, GenomeSpace
from efn_compose.evolve.genetic.breeding import Breeder, Known, draw
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.finalists import finalists
from efn_compose.evolve.genetic.standing import best_donor, standing
from efn_compose.evolve.journal.watcher import Standing


class Breeds(Protocol):
    """Settings of a search over compositions."""

    @property
    def population(self) -> int:
        """Genomes of a generation, and genomes that may be parents."""

    @property
    def elites(self) -> int:
        """Best genomes run again in every generation."""

    def breeder(self, space: GenomeSpace, table: FitnessTable) -> Breeder:
        """Return where newcomers of a genome space come from, given the table of all evaluations."""


class GeneticSearch:
    """Ask for a generation's genomes, tell their losses.

    Pure donors open the first generation and are never forgotten. Every later
    generation re-runs the elites and the best donor under its own seed, which
    links its scores to the earlier ones; no other genome is ever paid for twice.

    Args:
        space: The genome space.
        settings: Population, elites, where newcomers come from.
        seed: Decides everything together with the losses told.
        noise: Variance of a score over seeds and its degrees of freedom, as measured.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> from efn_compose.evolve.kinds.genetic import Genetic
        >>> space = GenomeSpace(arch_spec("lite0"), 2, "stage")
        >>> search = GeneticSearch(space, Genetic(population=4), seed=1)
        >>> genomes = search.ask()
        >>> search.tell({genome: float(sum(genome)) for genome in genomes})
        >>> search.best() == space.pure(0)
        True
    """

    def __init__(
        self,
        space: GenomeSpace,
        settings: Breeds,
        seed: int,
        noise: tuple[float, int] = (0.0, 0),
    ) -> None:
        self.space, self.settings, self.table = space, settings, FitnessTable(*noise)
        self.breeder = settings.breeder(space, self.table)
        self.generation = 0
        self._generator = random.Random(seed)
        self.pure = [space.pure(donor) for donor in range(space.donor_count)]
        self._donors = dict(enumerate(self.pure))
        self._rejected: set[Genome] = set()

    def ask(self) -> list[Genome]:
        """Return the genomes of the next generation, each once."""
        reruns, children = self.ask_brood()
        return [*reruns, *children]

    def ask_brood(self, factor: float = 1.0) -> tuple[list[Genome], list[Genome]]:
        """Return the genomes to run again, and newcomers.

        Args:
            factor: Newcomers per place; more than 1 where cheap rungs will reject some.
        """
        settings = self.settings
        leaders = self.table.leaders(max(settings.population, settings.elites))
        if self.generation == 0 or not leaders:
            return [], self._first()
        ranked = list(leaders)
        reruns = list(dict.fromkeys([*ranked[: settings.elites], self.best_donor()]))
        count = math.ceil(self.newcomers_wanted(reruns) * factor)
        parents = {genome: leaders[genome] for genome in ranked[: settings.population]}
        known = Known(self.table, self._rejected)
        children = self.breeder.children(parents, known, count, self.space, self._generator)
        return reruns, children

    def newcomers_wanted(self, reruns: Sequence[Genome]) -> int:
        """Return the number of newcomers of a generation."""
        return max(1, self.settings.population - len(reruns))

    def reject(self, genomes: Iterable[Genome]) -> None:
        """Forget newcomers for good: cheap rungs found them wanting."""
        self._rejected.update(genomes)

    def tell(self, losses: dict[Genome, float | None]) -> None:
        """Take the losses of the genomes asked for; None is a failed evaluation."""
        self.table.add_generation(losses)
        self.generation += 1

    def best(self) -> Genome | None:
        """Return the genome believed best; None if all failed."""
        return next(iter(self.table.leaders(1)), None)

    def best_donor(self) -> Genome:
        """Return the pure donor believed best."""
        return self.pure[best_donor(self.table, self._donors) or 0]

    def finalists(self, count: int) -> list[Genome]:
        """Return what to put up in the finals, best guess first, without pure donors."""
        return finalists(self.space, self.table, count)

    def standing(self) -> Standing:
        """Return how the search stands."""
        return standing(self.table, self._donors)

    def _first(self) -> list[Genome]:
        """Return all pure donors, then genomes with few switches of donor along depth."""
        missing = max(self.settings.population, len(self.pure)) - len(self.pure)
        return [*self.pure, *draw(self.space, set(self.pure), missing, self._generator)]
