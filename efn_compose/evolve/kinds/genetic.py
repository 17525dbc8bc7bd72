"""`search.kind = "genetic"`: a genetic algorithm over compositions, generation by generation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from efn_compose.evolve.genetic.control import Control
from efn_compose.evolve.genetic.generational import search_generations
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.kinds.composing import (
    BreedingKind,
    Controlled,
    Rung,
    control_setting,
    found_by,
    rungs_setting,
)
from efn_compose.evolve.kinds.kind import Found, Workplace


@dataclass(frozen=True)
class Genetic(Controlled, BreedingKind):
    """`[genetic]`: parents are chosen, crossed and mutated; every candidate is composed anew.

    Args:
        population: Genomes of a generation.
        generations: After the first.
        elites: Best genomes that every generation runs again, which links its luck to others'.
        crossover: Name of a file in `evolve/genetic/crossover`.
        mutation: Of one in `evolve/genetic/mutation`.
        selection: Of one in `evolve/genetic/selection`.
        rungs: Cheap looks at newcomers: "probe" scores untrained features; "quarter" trains a quarter
            of an evaluation.
        control: Whether as many random genomes are evaluated, for comparison.
    """

    name: ClassVar[str] = "genetic"

    rungs: tuple[Rung, ...] = rungs_setting()

    control: bool = control_setting()

    @property
    def cheap_looks(self) -> Sequence[str]:
        """Rungs on which newcomers may be rejected."""
        return self.rungs

    def search(self, loop: SearchLoop, workplace: Workplace, finalists: int) -> Found:
        """Run generations until their number or the budget is used up."""
        control = Control(loop) if self.control else None
        search = search_generations(loop, self, self.rungs, control=control)
        return found_by(search, finalists, control)
