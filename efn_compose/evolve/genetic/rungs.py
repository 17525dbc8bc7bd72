"""Cheap rungs: newcomers are looked at before an epoch is spent on them.

The worth of a cheap score differs from task to task, so a run measures it: in the
first generation every genome stands on every rung, and a rung whose order agrees too
little with the full evaluation's is not used again. A trusted rung rejects the worst of
a larger brood. No rung picks a few of many: no score without training foretold a
fine-tuning well enough (experiments/results/relatives_instrument.md).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.ledger import Purpose
from efn_compose.numerics.ranks import rank_correlation

#: Journal phase of cheap evaluations.
PHASE = "rung"
#: Share of an evaluation's epochs by rung; 0 is a probe of untrained features.
SHARES = {"probe": 0.0, "quarter": 0.25}
#: Share of a brood that a trusted rung lets through.
KEEP = 0.5
#: Rank correlation with the full evaluation from which on a rung is trusted.
TRUSTED = 0.5
#: Genomes that a correlation must rest on.
_FEWEST = 6


@dataclass(frozen=True)
class RungTrust:
    """How well a rung foretold the full evaluation in the first generation.

    Args:
        rung: Its name.
        correlation: Spearman's rank correlation; None where too few genomes stood on both.
        genomes: How many did.
        is_trusted: Whether it rejects from now on.
    """

    rung: str
    correlation: float | None
    genomes: int
    is_trusted: bool


class Sieve:
    """Rejects the worst of a brood on the rungs that earned it.

    Args:
        loop: Journal, watcher.
        rungs: Their names, the cheapest first.
    """

    def __init__(self, loop: SearchLoop, rungs: Sequence[str] = ()) -> None:
        self._loop, self._rungs = loop, rungs
        self._losses: dict[str, dict[Genome, float | None]] = {}
        #: By rung, once the first generation is known.
        self.trust: list[RungTrust] = []

    @property
    def brood_factor(self) -> float:
        """How many newcomers are needed per one that is to be fully evaluated."""
        return KEEP ** -len(self._trusted)

    @property
    def _trusted(self) -> list[RungTrust]:
        return [found for found in self.trust if found.is_trusted]

    def calibrate(self, genomes: Sequence[Genome]) -> None:
        """Evaluate the first generation on every rung."""
        for rung in self._rungs:
            self._losses[rung] = self._evaluate(rung, genomes, 0)

    def learn(self, losses: Mapping[Genome, float | None]) -> None:
        """Compare the first generation's full losses with the rungs', and decide on trust."""
        for rung in self._rungs:
            pairs = [
                (cheap, full)
                for genome, cheap in self._losses[rung].items()
                if cheap is not None and (full := losses.get(genome)) is not None
            ]
            found = correlation_of(pairs)
            is_trusted = found is not None and found >= TRUSTED
            self.trust.append(RungTrust(rung, found, len(pairs), is_trusted))
            words = "unknown" if found is None else f"{found:+.2f}"
            verdict = "rejects from now on" if is_trusted else "is not used"
            self._loop.watcher.on_note(
                f"Rung {rung}: rank correlation with the full evaluation {words} over "
                f"{len(pairs)} genomes; it {verdict} (limit {TRUSTED:g})."
            )

    def keep(self, newcomers: Sequence[Genome], wanted: int, generation: int) -> list[Genome]:
        """Return the newcomers that are worth a full evaluation, in their order.

        Args:
            newcomers: The brood.
            wanted: How many may stay.
            generation: Whose seed to use.
        """
        left = list(newcomers)
        for number, rung in enumerate(self._trusted):
            later = len(self._trusted) - number - 1
            count = math.ceil(wanted / KEEP**later)
            if len(left) <= count:
                continue
            losses = self._evaluate(rung.rung, left, generation)
            ranked = sorted(left, key=lambda g: (_worst(losses[g]), g))
            best = set(ranked[:count])
            left = [genome for genome in left if genome in best]
        return left[:wanted]

    def _evaluate(
        self, rung: str, genomes: Sequence[Genome], generation: int
    ) -> dict[Genome, float | None]:
        tasks = [self._loop.task(genome, generation, SHARES[rung]) for genome in genomes]
        purpose, names = Purpose(PHASE, generation), [rung] * len(tasks)
        found = self._loop.ledger.evaluate(purpose, tasks, self._loop.seat, names)
        return {
            genome: e.scores["validation"]["loss"] if e.scores else None
            for genome, e in zip(genomes, found, strict=True)
        }


def correlation_of(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return Spearman's rank correlation; None for too few pairs or where one side is constant.

    Example:
        >>> correlation_of([(n, n**3) for n in range(6)])
        1.0
    """
    if len(pairs) < _FEWEST:
        return None
    found = rank_correlation(*np.array(pairs).T)
    return None if math.isnan(found) else found


def _worst(loss: float | None) -> float:
    return math.inf if loss is None else loss
