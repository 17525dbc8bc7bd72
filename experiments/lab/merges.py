"""Merging baselines from the literature: task arithmetic, TIES, and MeGA's scheme.

All work on fine-tunings of one base checkpoint. BatchNorm statistics are no
weights: sums and sign votes of them mean nothing (a variance may turn negative),
so they are averaged, and must be re-estimated afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.arch import inventory
from efn_compose.donors import Donor, require_harmonised
from efn_compose.donors.lineage import require_one_lineage
from efn_compose.errors import ComposeError
from efn_compose.soups import uniform_soup, weighted_soup


def task_arithmetic(
    base: Donor, donors: Sequence[Donor], *, scale: float = 0.4, allow_unrelated: bool = False
) -> Donor:
    """Return base + scale * sum of (donor - base) (Ilharco et al. 2023, arXiv:2212.04089).

    Args:
        base: The checkpoint that all donors were fine-tuned from.
        donors: Harmonised fine-tunings of it.
        scale: Common factor of the task vectors; 1/len(donors) is the plain average.
        allow_unrelated: Merge across lineages too.

    Raises:
        IncompatibleDonorsError: Not harmonised, or of several lineages.

    Example:
        >>> merged = task_arithmetic(imagenet, [tuned_a, tuned_b])  # doctest: +SKIP
    """
    _check(base, donors, allow_unrelated)
    return _merge(base, donors, "task_arithmetic", lambda deltas: scale * deltas.sum(axis=0))


def ties(
    base: Donor,
    donors: Sequence[Donor],
    *,
    density: float = 0.2,
    scale: float = 1.0,
    allow_unrelated: bool = False,
) -> Donor:
    """Trim, elect sign and merge fine-tunings (Yadav et al. 2023, arXiv:2306.01708).

    Of each donor's difference to the base the largest entries are kept, over the
    whole network; each weight then moves by the mean of those kept differences
    that have the sign of their sum.

    Args:
        base: The checkpoint that all donors were fine-tuned from.
        donors: Harmonised fine-tunings of it.
        density: Share of entries kept, in (0, 1].
        scale: Factor of the merged difference.
        allow_unrelated: Merge across lineages too.

    Raises:
        IncompatibleDonorsError: Not harmonised, or of several lineages.
        ComposeError: The density is out of range.

    Example:
        >>> merged = ties(imagenet, [tuned_a, tuned_b])  # doctest: +SKIP
    """
    _check(base, donors, allow_unrelated)
    if not 0 < density <= 1:
        raise ComposeError(f"density must lie in (0, 1]. Received: {density}.")
    thresholds = np.array([_threshold(base, donor, density) for donor in donors])

    def elect(deltas: np.ndarray) -> np.ndarray:
        limits = thresholds.reshape(-1, *(1,) * (deltas.ndim - 1))
        kept = np.where(np.abs(deltas) >= limits, deltas, 0)
        sign = np.sign(kept.sum(axis=0))
        agreeing = np.where(np.sign(kept) == sign, kept, 0)
        count = np.count_nonzero(agreeing, axis=0)
        return scale * agreeing.sum(axis=0) / np.maximum(count, 1)

    return _merge(base, donors, "ties", elect)


@dataclass(frozen=True)
class MegaResult:
    """What MeGA's search found.

    Args:
        donor: The best average, not worse on the search's data than the best donor.
        weights: Its weight per donor.
        score: Its score.
        evaluations: Number of calls of the scoring function.
    """

    donor: Donor
    weights: tuple[float, ...]
    score: float
    evaluations: int


def mega(
    donors: Sequence[Donor],
    evaluate: Callable[[Donor], float],
    *,
    population: int = 20,
    generations: int = 20,
    tournament: int = 3,
    seed: int = 0,
) -> MegaResult:
    """Search whole-network blends with a genetic algorithm, after MeGA (arXiv:2406.04607).

    Its crossover blends two parents with one random factor for the whole network,
    so every individual is a convex mixture of the donors and is kept as its weights.
    Kinder than the authors' code in three ways: the donors themselves are among the
    first individuals, BatchNorm statistics are pooled, and left out is the noise it
    adds to one array in fifty, which makes NaN of BatchNorm variances.

    Args:
        donors: Harmonised donors, of any lineage, as in the paper.
        evaluate: Score of a donor, higher is better; NaN counts as worst.
        population: Individuals per generation; the donors are among the first.
        generations: Generations after the first.
        tournament: Size of the selection tournament.
        seed: Decides everything random.

    Raises:
        IncompatibleDonorsError: The donors are not harmonised.

    Example:
        >>> found = mega([a, b], validation_accuracy, population=8)  # doctest: +SKIP
    """
    require_harmonised(donors)
    rng = np.random.default_rng(seed)
    scores: dict[tuple[float, ...], float] = {}

    def score(weights: np.ndarray) -> float:
        key = tuple(weights.tolist())
        if key not in scores:
            value = float(evaluate(weighted_soup(donors, weights.tolist(), allow_unrelated=True)))
            scores[key] = value if value == value else float("-inf")
        return scores[key]

    individuals = list(np.eye(len(donors)))
    individuals += [
        _crossover(*_two(individuals[: len(donors)], rng), rng)
        for _ in range(population - len(individuals))
    ]
    for _ in range(generations):
        best = max(individuals, key=score)
        parents = [
            max(
                (individuals[i] for i in rng.integers(len(individuals), size=tournament)), key=score
            )
            for _ in range(2 * (population - 1))
        ]
        pairs = zip(parents[::2], parents[1::2], strict=True)
        individuals = [best, *(_crossover(one, other, rng) for one, other in pairs)]
    best = max(individuals, key=score)
    donor = weighted_soup(donors, best.tolist(), allow_unrelated=True).replace(name="mega")
    return MegaResult(donor, tuple(best.tolist()), score(best), len(scores))


def _crossover(one: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share = rng.random()
    child = share * one + (1 - share) * other
    return child / child.sum()


def _two(
    individuals: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    one, other = rng.choice(len(individuals), size=2, replace=len(individuals) < 2)
    return individuals[one], individuals[other]


def _check(base: Donor, donors: Sequence[Donor], allow_unrelated: bool) -> None:
    require_harmonised([base, *donors])
    if not donors:
        raise ComposeError("A merge needs at least one fine-tuned donor. Received: none.")
    if not allow_unrelated:
        require_one_lineage([base, *donors], "A merge")


def _threshold(base: Donor, donor: Donor, density: float) -> float:
    """Return the size from which on a share of a donor's differences is kept."""
    deltas = np.concatenate(
        [
            np.abs(
                donor.tensors[tensor.name].astype(np.float64) - base.tensors[tensor.name]
            ).ravel()
            for tensor in inventory(base.spec, base.classes)
            if tensor.is_trainable
        ]
    )
    kept = max(1, round(density * deltas.size))
    return float(np.partition(deltas, deltas.size - kept)[deltas.size - kept])


def _merge(
    base: Donor,
    donors: Sequence[Donor],
    name: str,
    rule: Callable[[np.ndarray], np.ndarray],
) -> Donor:
    """Apply a rule to the stacked differences (donor, …) of every trainable tensor."""
    average = uniform_soup(donors, allow_unrelated=True)
    tensors = {}
    for tensor in inventory(base.spec, base.classes):
        start = base.tensors[tensor.name]
        if not tensor.is_trainable:
            tensors[tensor.name] = average.tensors[tensor.name]
            continue
        deltas = np.stack(
            [donor.tensors[tensor.name].astype(np.float64) - start for donor in donors]
        )
        tensors[tensor.name] = (start + rule(deltas)).astype(start.dtype)
    record = {"base": base.fingerprint, "donors": [donor.fingerprint for donor in donors]}
    return base.replace(name=name, tensors=tensors, provenance={**base.provenance, name: record})
