"""Estimates of fitness from noisy scores: common seeds, repeated runs, shrinkage.

All candidates of a generation share one seed, so its luck is common to them and
is removed by comparing with genomes that were also run in earlier generations.
The rest is shrunk towards the median of all, the better half and the worse half each as far as
their spread tells: a genome that shone once is trusted less than one that shone three times, or
the search crowns luck.
"""

import math
import statistics
from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from efn_compose.compose import Genome
from efn_compose.evolve.genetic.packed_genomes import pack, unpack

#: Share of the spread that is always taken for real. Without it a run whose noise is overrated
#: believes nothing, and what was run most often wins by that alone.
_LEAST_SIGNAL = 0.1
#: Keeps a division by zero from being tried where its result is not used.
_TINY = 1e-300


class Look(NamedTuple):
    """One evaluation.

    Args:
        genome: What was evaluated.
        generation: Whose seed was used; its number, from 0.
        loss: As it came, luck of the seed included.
    """

    genome: Genome
    generation: int
    loss: float


@dataclass(frozen=True)
class Estimate:
    """The belief about a genome.

    Args:
        mean: Mean loss over its runs, generation effects removed.
        shrunk: The same, shrunk towards the median of all genomes.
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
        # A night's search tries hundreds of thousands of genomes, nearly all of them once: what is
        # kept of each is its bytes, a number, its mean and its number of runs, 0 once it failed.
        self._genomes: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        self._failed: set[bytes] = set()
        self._means = array("d")
        self._counts = array("d")
        #: Single runs of those that were run more than once, by their number.
        self._runs: dict[int, list[float]] = {}
        #: Number of the genome, generation and loss of every evaluation.
        self._looked_at, self._look_generations = array("L"), array("L")
        self._look_losses = array("d")
        #: Estimated luck of each generation's seed, the first being 0.
        self.generation_effects: list[float] = []

    @property
    def genomes(self) -> set[Genome]:
        """All genomes ever scored, failures included."""
        return {unpack(packed) for packed in (*self._genomes, *self._failed)}

    def __contains__(self, genome: object) -> bool:
        """Return whether a genome was ever scored, failures included."""
        if not isinstance(genome, tuple):
            return False
        packed = pack(genome)
        return packed in self._numbers or packed in self._failed

    def __len__(self) -> int:
        """Return the number of genomes ever scored, failures included."""
        return len(self._genomes) + sum(packed not in self._numbers for packed in self._failed)

    def add_generation(
        self, losses: dict[Genome, float | None], effect: float | None = None
    ) -> None:
        """Add the losses of one generation, all run under one seed; None is a failure.

        The generation's effect is how much worse the genomes that link it to earlier
        ones did than was believed of them. Belief, not their mean score: they were
        chosen for good scores, and their fall back to normal would pass for bad luck
        of the whole generation, flattering all its newcomers.

        Args:
            losses: By genome; genomes of earlier generations link this one to them.
            effect: Of the generation, where it is known from elsewhere.
        """
        finite = {genome: loss for genome, loss in losses.items() if loss is not None}
        self._fail(set(losses) - set(finite))
        if effect is None:
            believed = self.estimates(finite)
            links = [loss - believed[g].shrunk for g, loss in finite.items() if g in believed]
            effect = _mean(links) if links else 0.0
        self.generation_effects.append(effect)
        self._add(finite, len(self.generation_effects) - 1)

    def add_to_generation(self, number: int, losses: dict[Genome, float | None]) -> None:
        """Add late losses to a generation whose effect is already known.

        Args:
            number: Of the generation, in the order they were added.
            losses: By genome; None is a failure.
        """
        finite = {genome: loss for genome, loss in losses.items() if loss is not None}
        self._fail(set(losses) - set(finite))
        self._add(finite, number)

    @property
    def look_count(self) -> int:
        """Number of evaluations that did not fail."""
        return len(self._look_losses)

    def looks(self) -> list[Look]:
        """Return all evaluations of genomes that never failed, in the order they came."""
        genomes = [unpack(packed) for packed in self._genomes]
        return [
            Look(genomes[number], generation, loss)
            for number, generation, loss in zip(
                self._looked_at, self._look_generations, self._look_losses, strict=True
            )
            if self._counts[number]
        ]

    def _add(self, losses: dict[Genome, float], generation: int) -> None:
        effect = self.generation_effects[generation]
        for genome, loss in losses.items():
            packed = pack(genome)
            number = self._numbers.setdefault(packed, len(self._numbers))
            self._looked_at.append(number)
            self._look_generations.append(generation)
            self._look_losses.append(loss)
            if number == len(self._genomes):
                self._genomes.append(packed)
                self._means.append(loss - effect)
                self._counts.append(packed not in self._failed)
                continue
            runs = self._runs.setdefault(number, [self._means[number]])
            runs.append(loss - effect)
            self._means[number] = _mean(runs)
            self._counts[number] = 0 if packed in self._failed else len(runs)

    def _fail(self, genomes: Iterable[Genome]) -> None:
        for packed in map(pack, genomes):
            self._failed.add(packed)
            if packed in self._numbers:
                self._counts[self._numbers[packed]] = 0

    def noise_variance(self) -> float:
        """Return the variance of one run around its genome's mean, measured and repeated runs pooled."""
        repeated = [self._runs[number] for number in sorted(self._runs)]
        freedom = sum(len(runs) - 1 for runs in repeated)
        squares = sum((run - _mean(runs)) ** 2 for runs in repeated for run in runs)
        variance, prior_freedom = self._prior
        total = freedom + prior_freedom
        return (squares + variance * prior_freedom) / total if total else 0.0

    def estimates(self, wanted: Collection[Genome] | None = None) -> dict[Genome, Estimate]:
        """Return the estimate of every genome that did not fail.

        Args:
            wanted: Only these; every genome by default. Beliefs always rest on all genomes.
        """
        alive, shrunk = self._beliefs()
        numbers = alive.tolist()
        if wanted is not None:
            wanted_numbers = (self._numbers.get(pack(genome)) for genome in wanted)
            known = {number for number in wanted_numbers if number is not None}
            numbers = sorted(number for number in known if self._counts[number])
        found = zip(numbers, shrunk[np.searchsorted(alive, numbers)].tolist(), strict=True)
        return {
            unpack(self._genomes[number]): Estimate(
                mean=self._means[number], shrunk=belief, runs=int(self._counts[number])
            )
            for number, belief in found
        }

    def leaders(self, count: int) -> dict[Genome, float]:
        """Return the best genomes and their believed losses, best first.

        Args:
            count: How many; ties go to the smaller genome.
        """
        alive, shrunk = self._beliefs()
        if not len(alive):
            return {}
        last = np.partition(shrunk, min(count, len(shrunk)) - 1)[min(count, len(shrunk)) - 1]
        near = [
            (float(shrunk[p]), unpack(self._genomes[alive[p]]))
            for p in np.flatnonzero(shrunk <= last)
        ]
        return {genome: belief for belief, genome in sorted(near)[:count]}

    def mean(self) -> float:
        """Return the mean of the mean losses of all genomes that did not fail, NaN of none."""
        counts, means = np.array(self._counts), np.array(self._means)
        return float(means[counts > 0].mean()) if counts.any() else math.nan

    def _beliefs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of all genomes that did not fail, and their shrunk means."""
        counts = np.array(self._counts)
        alive = np.flatnonzero(counts)
        if not len(alive):
            return alive, counts
        means, counts = np.array(self._means)[alive], counts[alive]
        noise = self.noise_variance()
        centre = float(np.median(means))
        noise_of_means = noise * _mean((1 / counts).tolist())
        # Each half has a spread of its own: a tail of wrecked mixtures says nothing about the good
        # ones, and good ones that lie close together do not make a bad donor a good one.
        is_better = means <= centre
        signal = np.zeros(len(means))
        for half in (is_better, ~is_better):
            if half.any():
                spread = _mean(((centre - means[half]) ** 2).tolist())
                signal[half] = max(spread - noise_of_means, _LEAST_SIGNAL * spread)
        noises = noise / counts
        weights = np.where(signal + noises > 0, signal / np.maximum(signal + noises, _TINY), 1.0)
        return alive, centre + (means - centre) * weights

    def ranked(self) -> list[Genome]:
        """Return all genomes that did not fail, best first; ties go to the smaller genome."""
        found = self.estimates()
        return sorted(found, key=lambda genome: (found[genome].shrunk, genome))


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)
