"""Estimates of fitness from noisy scores: common seeds, repeated runs, shrinkage.

All candidates of a generation share one seed, so its luck is common to them and
is removed by comparing with genomes that were also run in earlier generations.
What is left is shrunk towards the mean of all: a genome that shone once is
trusted less than one that shone three times, or the search crowns luck.
"""

import math
import statistics
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from efn_compose.compose import Genome

#: Share of the spread that is always taken for real. Without it a run whose noise is overrated
#: believes nothing, and what was run most often wins by that alone.
_LEAST_SIGNAL = 0.1


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


def paired_noise(first: Sequence[float], second: Sequence[float]) -> tuple[float, int]:
    """Return the variance of one score among scores under a common seed, and its freedom.

    Half the variance of the paired differences of two genomes over seeds.

    Args:
        first: Losses of one genome, one per seed.
        second: Of another, over the same seeds; empty where it was not run, which
            leaves the variance of the first alone, an upper bound.

    Example:
        >>> paired_noise([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
        (0.0, 2)
    """
    if len(first) < 2:
        return 0.0, 0
    if len(second) != len(first):
        return statistics.variance(first), len(first) - 1
    differences = [a - b for a, b in zip(first, second, strict=True)]
    return statistics.variance(differences) / 2, len(first) - 1


class FitnessTable:
    """All scores of a search, and the estimates they support.

    Args:
        noise_variance: Variance of one score over seeds, measured beforehand.
        noise_freedom: Degrees of freedom of that measurement; 0 where there was none.

    Example:
        >>> table = FitnessTable()
        >>> table.add_generation({(0,): 1.0, (1,): 0.8})
        >>> table.add_generation({(1,): 0.9, (2,): 0.8})  # everyone 0.1 unluckier
        >>> round(table.estimates()[(2,)].mean, 3)
        0.7
    """

    def __init__(self, noise_variance: float = 0.0, noise_freedom: int = 0) -> None:
        self._prior = (noise_variance, noise_freedom)
        self._runs: dict[Genome, list[float]] = {}
        # Kept beside the runs, so that a generation costs no second look at all earlier scores.
        self._means: dict[Genome, float] = {}
        self._squares: dict[Genome, list[float]] = {}
        self._failed: set[Genome] = set()
        #: Estimated luck of each generation's seed, the first being 0.
        self.generation_effects: list[float] = []

    @property
    def genomes(self) -> set[Genome]:
        """All genomes ever scored, failures included."""
        return set(self._runs) | self._failed

    def add_generation(self, losses: dict[Genome, float | None]) -> None:
        """Add the losses of one generation, all run under one seed; None is a failure.

        The generation's effect is how much worse the genomes that link it to earlier
        ones did than was believed of them. Belief, not their mean score: they were
        chosen for good scores, and their fall back to normal would pass for bad luck
        of the whole generation, flattering all its newcomers.

        Args:
            losses: By genome; genomes of earlier generations link this one to them.
        """
        finite = {genome: loss for genome, loss in losses.items() if loss is not None}
        self._failed |= set(losses) - set(finite)
        believed = self.estimates(finite)
        links = [loss - believed[g].shrunk for g, loss in finite.items() if g in believed]
        effect = _mean(links) if links else 0.0
        self.generation_effects.append(effect)
        self._add(finite, effect)

    def add_to_generation(self, number: int, losses: dict[Genome, float | None]) -> None:
        """Add late losses to a generation whose effect is already known.

        Args:
            number: Of the generation, in the order they were added.
            losses: By genome; None is a failure.
        """
        finite = {genome: loss for genome, loss in losses.items() if loss is not None}
        self._failed |= set(losses) - set(finite)
        self._add(finite, self.generation_effects[number])

    def _add(self, losses: dict[Genome, float], effect: float) -> None:
        for genome, loss in losses.items():
            runs = self._runs.setdefault(genome, [])
            runs.append(loss - effect)
            mean = self._means[genome] = _mean(runs)
            self._squares[genome] = [(run - mean) ** 2 for run in runs]

    def noise_variance(self) -> float:
        """Return the variance of one run around its genome's mean, measured and repeated runs pooled."""
        repeated = [runs for runs in self._runs.values() if len(runs) > 1]
        freedom = sum(len(runs) - 1 for runs in repeated)
        squares = sum(
            square
            for genome, runs in self._runs.items()
            if len(runs) > 1
            for square in self._squares[genome]
        )
        variance, prior_freedom = self._prior
        total = freedom + prior_freedom
        return (squares + variance * prior_freedom) / total if total else 0.0

    def estimates(self, wanted: Container[Genome] | None = None) -> dict[Genome, Estimate]:
        """Return the estimate of every genome that did not fail.

        Args:
            wanted: Only these; every genome by default. What is believed of them rests on all.
        """
        means = {g: mean for g, mean in self._means.items() if g not in self._failed}
        if not means:
            return {}
        noise = self.noise_variance()
        centre = statistics.median(means.values())
        # Spread of the better half: a tail of wrecked mixtures says nothing about the good ones.
        better = [(centre - mean) ** 2 for mean in means.values() if mean <= centre]
        noise_of_means = noise * _mean([1 / len(self._runs[genome]) for genome in means])
        signal = max(_mean(better) - noise_of_means, _LEAST_SIGNAL * _mean(better))
        return {
            genome: Estimate(
                mean=mean,
                shrunk=centre + (mean - centre) * _weight(signal, noise / len(self._runs[genome])),
                runs=len(self._runs[genome]),
            )
            for genome, mean in means.items()
            if wanted is None or genome in wanted
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
