"""What kinds have in common that compose every candidate of the donors anew."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from efn_compose.compose import Recipe
from efn_compose.evolve.genetic.breeding import Breeder, GeneticBreeder
from efn_compose.evolve.genetic.crossover.base import Crossover
from efn_compose.evolve.genetic.mutation.base import Mutation
from efn_compose.evolve.genetic.rungs import KEEP
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.genetic.selection.base import Selection
from efn_compose.evolve.kinds.kind import Found, SearchKind
from efn_compose.settings.declare import setting


@dataclass(frozen=True)
class ComposingKind(SearchKind):
    """A search whose candidates hand on parts of donors, untrained."""

    elites: int = setting(2, "best genomes that are run again in every generation", minimum=1)

    @abstractmethod
    def breeder(self) -> Breeder:
        """Return where newcomers come from."""

    @property
    def cheap_looks(self) -> Sequence[str]:
        """Rungs on which newcomers may be rejected."""
        return ()

    def size(self, generation: int, donor_count: int) -> int:
        """Return the most evaluations that a generation makes."""
        looks = len(self.cheap_looks)
        if generation == 0:
            return max(self.population, donor_count) * (1 + looks)
        # Each trusted rung sees a brood from which the next takes its share.
        broods = sum(math.ceil(self.population * KEEP ** -(number + 1)) for number in range(looks))
        return max(self.population, self.elites + 2) + broods


@dataclass(frozen=True)
class BreedingKind(ComposingKind):
    """A search that breeds newcomers by operators named in the configuration."""

    crossover: str = setting(
        "two_point",
        "two_point: a stretch of the second parent; uniform_stages: each stage by a coin",
        choices=Crossover.names(),
    )
    mutation: str = setting(
        "heavy_tailed",
        "heavy_tailed: a stage, a block, or mostly few genes; fixed_rate: one gene on average",
        choices=Mutation.names(),
    )
    selection: str = setting(
        "tournament",
        "tournament: the best of three; ranking: chances fall evenly with the rank",
        choices=Selection.names(),
    )

    def breeder(self) -> Breeder:
        """Return where newcomers come from."""
        return GeneticBreeder(
            Crossover.named(self.crossover),
            Mutation.named(self.mutation),
            Selection.named(self.selection),
        )

    def crossing(self) -> Crossover:
        """Return what makes children of two parents."""
        return Crossover.named(self.crossover)


def found_by(search: GeneticSearch, finalists: int) -> Found:
    """Return the finalists of a search over compositions."""
    recipes = [Recipe.genome(genome) for genome in search.finalists(finalists)]
    return Found(recipes, tuple(search.table.generation_effects))
