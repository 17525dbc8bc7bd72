"""The control of a search: as many genomes of the same encoding, drawn at random beside it."""

import random

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.breeding import draw
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
        parents: How many of the best a mean is taken of, as the search does.
    """

    def __init__(self, loop: SearchLoop, parents: int) -> None:
        self._loop, self._parents = loop, parents
        self._generator = random.Random(derive_seed(loop.seed, "control"))
        #: By genome, luck of the seed removed; infinite after a failure.
        self._losses: dict[Genome, float] = {}

    def evaluate(self, count: int, generation: int, effect: float) -> None:
        """Draw genomes and evaluate them under a generation's seed.

        Args:
            count: Newcomers of the search in this generation.
            generation: Its number.
            effect: Estimated luck of its seed.
        """
        loop = self._loop
        pure = {loop.space.pure(number) for number in range(loop.space.donor_count)}
        genomes = draw(loop.space, pure | set(self._losses), count, self._generator)
        tasks = [loop.task(genome, generation) for genome in genomes]
        names = [PHASE] * len(tasks)
        found = loop.ledger.evaluate(Purpose(PHASE, generation), tasks, loop.seat, names)
        for genome, evaluation in zip(genomes, found, strict=True):
            loss = evaluation.loss
            self._losses[genome] = float("inf") if loss is None else loss - effect

    def finalists(self, count: int) -> list[Genome]:
        """Return what the genome space puts up of all genomes, best guess first."""
        alive = [genome for genome, loss in self._losses.items() if loss < float("inf")]
        ranked = sorted(alive, key=lambda genome: (self._losses[genome], genome))
        return list(dict.fromkeys(self._loop.space.finalists(ranked, self._parents)))[:count]
