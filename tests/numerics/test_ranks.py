"""Ranks and their correlation, against scipy."""

import numpy as np
import pytest
from scipy import stats

from efn_compose.numerics.ranks import midranks, rank_correlation


@pytest.mark.parametrize("seed", range(5))
def test_equal_values_share_their_rank(seed):
    pairs = np.random.default_rng(seed).integers(0, 4, (30, 2)).astype(float)
    assert np.array_equal(midranks(pairs[:, 0]), stats.rankdata(pairs[:, 0]))
    assert rank_correlation(*pairs.T) == pytest.approx(stats.spearmanr(*pairs.T).statistic)


def test_a_correlation_is_one_of_order_alone_and_unknown_of_a_constant():
    values = np.random.default_rng(0).normal(size=40)
    assert rank_correlation(values, np.exp(values)) == 1.0
    assert rank_correlation(values, -values) == -1.0
    assert np.isnan(rank_correlation(values, np.ones(40)))
    # Theory: 1 - 6 * (1 + 1 + 4 + 4) / (5 * 24). A search asks whether it is below a half.
    assert rank_correlation(np.arange(5), np.array([1, 0, 4, 3, 2])) == 0.5
