"""How well cheap rungs predict the full evaluation, from the journal alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.reading.evaluation_view import EvaluationView
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.numerics.ranks import rank_correlation

#: Genomes that a correlation needs; the search needs this many before it trusts a rung.
FEWEST = 6
_RESAMPLINGS = 2000


@dataclass(frozen=True)
class RungView:
    """One rung.

    Args:
        name: Its name.
        evaluations: How often it was asked.
        rejected: Genomes that stood on it and were never evaluated fully.
        pairs: Score on the rung and full loss of each genome of the first generation that has both,
            (genome, 2); there nothing had been rejected yet.
        correlation: Spearman's rank correlation over the pairs; None for too few.
        interval: Its 95 % interval by resampling genomes.
        seconds: Median wall time.
        full_seconds: Median wall time of a full evaluation.
    """

    name: str
    evaluations: int
    rejected: int
    pairs: np.ndarray
    correlation: float | None
    interval: tuple[float, float] | None
    seconds: float
    full_seconds: float


def rungs_view(run: RunView) -> list[RungView]:
    """Return the rungs that a run's journal holds, in the order of their first use."""
    cheap: dict[str, list[EvaluationView]] = {}
    for evaluation in run.by_phase.get("rung", ()):
        cheap.setdefault(evaluation.arm or "unnamed", []).append(evaluation)
    full = run.by_phase.get("search", ())
    return [_rung(name, evaluations, full) for name, evaluations in cheap.items()]


def _rung(name: str, cheap: Sequence[EvaluationView], full: Sequence[EvaluationView]) -> RungView:
    first = {e.values: e.loss for e in full if e.generation == 0 and e.loss is not None}
    pairs = np.array(
        [
            (e.loss, first[e.values])
            for e in cheap
            if e.generation == 0 and e.loss is not None and e.values in first
        ]
    ).reshape(-1, 2)
    correlation, interval = spearman(pairs)
    evaluated = {e.values for e in full}
    return RungView(
        name=name,
        evaluations=len(cheap),
        rejected=len({e.values for e in cheap} - evaluated),
        pairs=pairs,
        correlation=correlation,
        interval=interval,
        seconds=_median(cheap),
        full_seconds=_median(full),
    )


def spearman(pairs: np.ndarray) -> tuple[float | None, tuple[float, float] | None]:
    """Return Spearman's rank correlation with its 95 % interval by resampling pairs.

    Args:
        pairs: (genome, 2).

    Returns:
        None and None for fewer than six pairs or where one side is constant.

    Example:
        >>> spearman(np.array([(n, n**3) for n in range(6)]))[0]
        1.0
    """
    if len(pairs) < FEWEST or any(len(np.unique(side)) < 2 for side in pairs.T):
        return None, None
    draws = np.random.default_rng(0).integers(0, len(pairs), (_RESAMPLINGS, len(pairs)))
    found = [rank_correlation(*pairs[draw].T) for draw in draws]
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return rank_correlation(*pairs.T), (float(low), float(high))


def _median(evaluations: Sequence[EvaluationView]) -> float:
    walls = [e.wall_seconds for e in evaluations if e.wall_seconds > 0]
    return float(np.median(walls)) if walls else 0.0
