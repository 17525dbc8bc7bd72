"""Whether what a factor does depends on the data set."""

from collections.abc import Sequence

import numpy as np

from efn_compose.assess.studies.effects import sum_coded
from efn_compose.assess.studies.lead import holm

#: After Holm, over all factors: below it a factor counts as one that depends on the data set.
TOLD_APART = 0.05


def interaction_probabilities(
    levels: np.ndarray, counts: Sequence[int], scores: np.ndarray, data_sets: np.ndarray
) -> np.ndarray:
    """Return by factor the p-value, after Holm's steps, of its differences between data sets.

    An F-test for each factor: least squares with a mean per block, the effects of all factors, and
    all of them by data set, with and without those of the factor by data set. What several factors
    do together counts as noise, as in `main_effects`.

    Args:
        levels: (combination, factor) numbers of levels.
        counts: Levels of each factor.
        scores: (combination, block) float64, seeds of a fold averaged; NaN where there is none.
        data_sets: (block,) number of each block's data set.

    Returns:
        (factor,); NaN where the design cannot tell.
    """
    from scipy.special import fdtrc

    rows, blocks = np.nonzero(np.isfinite(scores))
    values, kinds = scores[rows, blocks], int(data_sets.max(initial=-1)) + 1
    found = np.full(len(counts), np.nan)
    if not len(rows) or kinds < 2:
        return found
    by_data = sum_coded(data_sets[blocks], kinds)
    factors = [sum_coded(levels[rows, n], count) for n, count in enumerate(counts)]
    pairs = [_products(factor, by_data) for factor in factors]
    fixed = [np.eye(scores.shape[1])[blocks], *factors]
    whole, rank = _rest(np.hstack([*fixed, *pairs]), values)
    freedom = len(values) - rank
    for n in range(len(counts)):
        without = np.hstack([*fixed, *pairs[:n], *pairs[n + 1 :]])
        rest, lower = _rest(without, values)
        if freedom < 1 or lower == rank:
            continue
        if whole > 0:
            found[n] = fdtrc(
                rank - lower, freedom, (rest - whole) / (rank - lower) * freedom / whole
            )
        else:
            found[n] = float(rest <= 0)
    return holm(found)


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.einsum("ra,rb->rab", one, other).reshape(len(one), -1)


def _rest(design: np.ndarray, values: np.ndarray) -> tuple[float, int]:
    """Return the squares that least squares leaves, and the rank of the design."""
    weights, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    rest = float(np.square(values - design @ weights).sum())
    # What is left of exact fits is rounding.
    return (rest if rest > 1e-24 * float(values @ values) else 0.0), int(rank)
