"""The control of a search: as many genomes of the same encoding, drawn at random beside it."""

import random
from collections.abc import Mapping

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.breeding import Known, draw
from efn_compose.evolve.genetic.estimates import FitnessTable
from efn_compose.evolve.genetic.finalists import finalists
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.ledger import Purpose
from efn_compose.evolve.journal.seeds import derive_seed

#: Journal phase of the control's evaluations, and the name of its best in the finals.
PHASE = "control"


class Control:
    """Draws and evaluates genomes under the seeds of a search, which never hears of them.

    Each generation has as many of them as the search has newcomers. The luck of the generation's
    seed is taken from the search's estimate, so that the control pays for no repeats.

    Args:
        loop: Space, journal and seed of the search.
    """

    def __init__(self, loop: SearchLoop) -> None:
        self._loop = loop
        self._generator = random.Random(derive_seed(loop.seed, "control"))
        self._table = FitnessTable()

    def evaluate(
        self, count: int, generation: int, effect: float, donors: Mapping[Genome, float | None]
    ) -> None:
        """Draw genomes and evaluate them under a generation's seed.

        Args:
            count: Newcomers of the search in this generation.
            generation: Its number.
            effect: Estimated luck of its seed.
            donors: Losses of pure donors under that seed, which cost nothing more.
        """
        loop = self._loop
        pure = {loop.space.pure(number) for number in range(loop.space.donor_count)}
        genomes = draw(loop.space, Known(pure, self._table), count, self._generator)
        tasks = [loop.task(genome, generation) for genome in genomes]
        names = [PHASE] * len(tasks)
        found = loop.ledger.evaluate(Purpose(PHASE, generation), tasks, loop.seat, names)
        losses = {genome: e.loss for genome, e in zip(genomes, found, strict=True)}
        self._table.add_generation({**donors, **losses}, effect)

    def finalists(self, count: int) -> list[Genome]:
        """Return what to put up in the finals, best guess first."""
        return finalists(self._loop.space, self._table, count)
