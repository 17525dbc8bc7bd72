"""`search.kind = "cma"`: CMA-ES over shares, the continuous alternative to breeding."""

from dataclasses import dataclass
from typing import ClassVar

from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.breeding import Breeder, RandomBreeder
from efn_compose.evolve.genetic.control import Control
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.generational import search_generations
from efn_compose.evolve.genetic.operators import shares_of
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.genetic.shares.cma_search import CmaSearch, samples_of
from efn_compose.evolve.kinds.composing import ComposingKind, Controlled, control_setting, found_by
from efn_compose.evolve.kinds.kind import Found, Workplace


@dataclass(frozen=True)
class Cma(Controlled, ComposingKind):
    """`[cma]`: a normal distribution over shares that follows those that did well.

    Args:
        population: Evaluations of a generation; the distribution learns from those that are neither
            donors nor elites.
        generations: After the first.
        elites: Best genomes that every generation runs again.
        control: Whether as many random genomes are evaluated, for comparison.
    """

    name: ClassVar[str] = "cma"

    control: bool = control_setting()

    @property
    def share_setting(self) -> str:
        """The setting that needs genes to be shares."""
        return f"search.kind = {self.name!r}"

    def size(self, generation: int, donor_count: int) -> int:
        """Return the most evaluations that a generation makes."""
        known = donor_count if generation == 0 else self.elites + 1
        return samples_of(self) * (1 + self.control) + known

    def breeder(self, space: GenomeSpace, table: FitnessTable) -> Breeder:
        """Return where newcomers come from before anything is known; the distribution draws them."""
        return RandomBreeder()

    def search(self, loop: SearchLoop, workplace: Workplace, finalists: int) -> Found:
        """Run generations until their number or the budget is used up.

        Raises:
            ConfigError: Genes are not shares.
        """
        space = shares_of(loop.space, self.share_setting)
        search = CmaSearch(space, self, loop.search_seed, loop.noise)
        control = Control(loop) if self.control else None
        search_generations(loop, self, search=search, control=control)
        return found_by(search, finalists, control)
