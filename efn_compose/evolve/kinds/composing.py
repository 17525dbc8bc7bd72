"""What kinds have in common that compose every candidate of the donors anew."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from efn_compose.compose import GenomeSpace, Recipe, ShareGenomeSpace
from efn_compose.compose.space import Granularity
from efn_compose.evolve.genetic.breeding import Breeder, GeneticBreeder
from efn_compose.evolve.genetic.control import Control
from efn_compose.evolve.genetic.crossover.base import Crossover
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.mutation.base import Mutation
from efn_compose.evolve.genetic.rungs import KEEP
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.genetic.selection.base import Selection
from efn_compose.evolve.genetic.shares.surrogate_breeding import SurrogateBreeder
from efn_compose.evolve.kinds.kind import Found, SearchKind
from efn_compose.settings.declare import When, setting

#: Cheap looks that a search may ask for; `evolve/genetic/rungs.py` says what they are.
Rung = Literal["probe", "quarter"]
#: Where genes are choices. Shares are drawn by a surrogate, without operators.
_CHOICES = When(
    "search.granularity",
    ("auto", *(g for g in get_args(Granularity) if g not in ShareGenomeSpace.granularities)),
    'search.granularity = "stage", "block", "unit" or "filter"',
)


@dataclass(frozen=True)
class ComposingKind(SearchKind):
    """A search whose candidates hand on parts of donors, untrained."""

    elites: int = setting(2, "best genomes that are run again in every generation", minimum=1)

    @abstractmethod
    def breeder(self, space: GenomeSpace, table: FitnessTable) -> Breeder:
        """Return where newcomers of a genome space come from."""

    @property
    def cheap_looks(self) -> Sequence[str]:
        """Rungs on which newcomers may be rejected."""
        return ()

    def size(self, generation: int, donor_count: int) -> int:
        """Return the most evaluations that a generation makes."""
        looks = len(self.cheap_looks)
        if generation == 0:
            first = max(self.population, donor_count)
            return first * (1 + looks) + self.has_control * (first - donor_count)
        # Each trusted rung sees a brood from which the next takes its share.
        broods, brood = 0, float(self.population)
        for _ in self.cheap_looks:
            brood /= KEEP
            broods += math.ceil(brood)
        fresh = max(self.population, self.elites + 2)
        return fresh + broods + self.has_control * (fresh - 1)


@dataclass(frozen=True)
class BreedingKind(ComposingKind):
    """A search that breeds newcomers by operators named in the configuration."""

    crossover: str = setting(
        "two_point",
        "two_point: a stretch of the second parent; uniform_stages: each stage by a coin",
        choices=Crossover.names(),
        read_when=_CHOICES,
    )
    mutation: str = setting(
        "heavy_tailed",
        "heavy_tailed: a stage, a block, or mostly few genes; fixed_rate: one gene on average",
        choices=Mutation.names(),
        read_when=_CHOICES,
    )
    selection: str = setting(
        "tournament",
        "tournament: the best of three; ranking: chances fall evenly with the rank; niches: by the "
        "images that few others get right",
        choices=Selection.names(),
        read_when=_CHOICES,
    )

    def breeder(self, space: GenomeSpace, table: FitnessTable) -> Breeder:
        """Return where newcomers of a genome space come from."""
        if isinstance(space, ShareGenomeSpace):
            return SurrogateBreeder(table)
        return GeneticBreeder(
            self.crossing(), Mutation.named(self.mutation), Selection.named(self.selection)
        )

    def crossing(self) -> Crossover:
        """Return what makes children of two parents."""
        return Crossover.named(self.crossover)


def found_by(search: GeneticSearch, finalists: int, control: Control | None = None) -> Found:
    """Return the finalists of a search over compositions, and those of its control."""
    recipes = [Recipe.genome(genome) for genome in search.finalists(finalists)]
    drawn = [] if control is None else control.finalists(finalists)
    return Found(
        recipes,
        tuple(search.table.generation_effects),
        control=[Recipe.genome(genome) for genome in drawn],
    )


def rungs_setting() -> Any:
    """Declare the setting of a kind whose newcomers stand on cheap rungs first."""
    return setting(
        (),
        "cheap tests of newcomers before they are trained; a test that orders the first generation as "
        "training does may reject newcomers",
    )


class Controlled:
    """A kind that can be compared with random draws, where its setting `control` says so."""

    control: bool

    @property
    def has_control(self) -> bool:
        """Whether random compositions are evaluated beside the search's."""
        return self.control


def control_setting() -> Any:
    """Declare the setting of a kind that can be compared with random draws."""
    return setting(
        False,
        "evaluate as many genomes of the same encoding, drawn at random, and report the difference; "
        "this doubles the cost",
    )
