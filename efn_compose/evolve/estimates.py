"""Estimates of fitness from noisy scores: common seeds, repeated runs, shrinkage.

All candidates of a generation share one seed, so its luck is common to them and
is removed by comparing with genomes that were also run in earlier generations.
What is left is shrunk towards the mean of all: a genome that shone once is
trusted less than one that shone three times, or the search crowns luck.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from efn_compose.compose import Genome


@dataclass(frozen=True)
class Estimate:
    """What is believed of a genome.

    Args:
        mean: Mean loss over its runs, generation effects removed.
        shrunk: The same, shrunk towards the mean of all genomes; infinite after a failure.
        runs: Number of runs.
    """

    mean: float
    shrunk: float
    runs: int


class FitnessTable:
    """All scores of a search, and the estimates they support.

    Example:
        >>> table = FitnessTable()
        >>> table.add_generation({(0,): 1.0, (1,): 0.8})
        >>> table.add_generation({(1,): 0.9, (2,): 0.8})  # everyone 0.1 unluckier
        >>> round(table.estimates()[(2,)].mean, 3)
        0.7
    """

    def __init__(self) -> None:
        self._runs: dict[Genome, list[float]] = {}
        self._failed: set[Genome] = set()
        #: Estimated luck of each generation's seed, the first being 0.
        self.generation_effects: list[float] = []

    @property
    def genomes(self) -> set[Genome]:
        """All genomes ever scored, failures included."""
        return set(self._runs) | self._failed

    def add_generation(self, losses: dict[Genome, float | None]) -> None:
        """Add the losses of one generation, all run under one seed; None is a failure.

        Args:
            losses: By genome; genomes of earlier generations link this one to them.
        """
        finite = {genome: loss for genome, loss in losses.items() if loss is not None}
        self._failed |= set(losses) - set(finite)
        links = [loss - _mean(self._runs[g]) for g, loss in finite.items() if g in self._runs]
        effect = _mean(links) if links else 0.0
        self.generation_effects.append(effect)
        for genome, loss in finite.items():
            self._runs.setdefault(genome, []).append(loss - effect)

    def noise_variance(self) -> float | None:
        """Return the variance of one run around its genome's mean; None without repeats."""
        repeated = [runs for runs in self._runs.values() if len(runs) > 1]
        freedom = sum(len(runs) - 1 for runs in repeated)
        if not freedom:
            return None
        return sum((run - _mean(runs)) ** 2 for runs in repeated for run in runs) / freedom

    def estimates(self) -> dict[Genome, Estimate]:
        """Return the estimate of every genome that did not fail."""
        means = {g: _mean(runs) for g, runs in self._runs.items() if g not in self._failed}
        if not means:
            return {}
        centre = _mean(means.values())
        noise = self.noise_variance() or 0.0
        spread = _mean([(mean - centre) ** 2 for mean in means.values()])
        runs_per_genome = _mean([1 / len(self._runs[genome]) for genome in means])
        signal = max(spread - noise * runs_per_genome, 0.05 * spread)
        return {
            genome: Estimate(
                mean=mean,
                shrunk=centre + (mean - centre) * _weight(signal, noise / len(self._runs[genome])),
                runs=len(self._runs[genome]),
            )
            for genome, mean in means.items()
        }

    def ranked(self) -> list[Genome]:
        """Return all genomes that did not fail, best first; ties go to the smaller genome."""
        found = self.estimates()
        return sorted(found, key=lambda genome: (found[genome].shrunk, genome))


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _weight(signal: float, noise: float) -> float:
    return signal / (signal + noise) if signal + noise > 0 else 1.0
