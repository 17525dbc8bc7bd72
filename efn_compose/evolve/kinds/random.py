"""`search.kind = "random"`: compositions drawn at random, the baseline that any search must beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.breeding import Breeder, RandomBreeder
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.generational import search_generations
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.kinds.composing import ComposingKind, Rung, found_by, rungs_setting
from efn_compose.evolve.kinds.kind import Found, Workplace


@dataclass(frozen=True)
class Random(ComposingKind):
    """`[random]`: every newcomer is drawn at random; all else is as in the genetic search.

    Args:
        population: Genomes of a generation.
        generations: After the first.
        elites: Best genomes that every generation runs again.
        rungs: Cheap looks at newcomers; see the genetic search.
    """

    name: ClassVar[str] = "random"

    rungs: tuple[Rung, ...] = rungs_setting()

    @property
    def cheap_looks(self) -> Sequence[str]:
        """Rungs on which newcomers may be rejected."""
        return self.rungs

    def breeder(self, space: GenomeSpace, table: FitnessTable) -> Breeder:
        """Return where newcomers of a genome space come from."""
        return RandomBreeder()

    def search(self, loop: SearchLoop, workplace: Workplace, finalists: int) -> Found:
        """Run generations until their number or the budget is used up."""
        return found_by(search_generations(loop, self, self.rungs), finalists)
