"""Moments of sets taken together against moments of all values at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efn_compose.numerics.moments import ChannelMoments, joined


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_sets_together_have_the_moments_of_all_their_values(sizes, seed):
    rng = np.random.default_rng(seed)
    # Means far apart and far from 0, where a difference of squares would lose everything.
    sets = [rng.normal(1e6 * rng.random(), 2.0, (size, 3, 4)) for size in sizes]
    whole = np.concatenate(sets).reshape(-1, 4)
    found = joined(ChannelMoments.of(values) for values in sets)
    assert found.count == len(whole)
    np.testing.assert_allclose(found.mean, whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, whole.var(axis=0), rtol=1e-9)


def test_a_small_spread_around_a_large_mean_survives():
    values = 1e8 + np.random.default_rng(0).normal(size=(1000, 1))
    halves = [ChannelMoments.of(part) for part in np.split(values, 2)]
    assert joined(halves).variance[0] == pytest.approx(values.var(), rel=1e-6)


def test_sums_are_taken_in_the_type_asked_for():
    values = np.full((1 << 20, 1), 0.1, np.float16)
    assert ChannelMoments.of(values, np.float64).mean[0] == np.float64(np.float16(0.1))
    assert ChannelMoments.of(values.astype(np.float32)).mean.dtype == np.float32
