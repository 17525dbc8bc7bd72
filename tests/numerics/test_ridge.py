"""Ridge regression against scikit-learn and against its own definition."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import Ridge

from efn_compose.numerics.ridge import RidgeRegression


def samples(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(2, 3, (80, 6)), rng.normal(size=(80, 3))


def penalty(features, ridge):
    return ridge * np.square(features - features.mean(axis=0)).sum() / features.shape[1]


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
def test_the_fit_is_scikit_learns(ridge):
    features, targets = samples()
    expected = Ridge(alpha=penalty(features, ridge)).fit(features, targets)
    found = RidgeRegression(features, targets).fit(ridge)
    np.testing.assert_allclose(found.kernel, expected.coef_.T, atol=1e-10)
    np.testing.assert_allclose(found.bias, expected.intercept_, atol=1e-10)
    error = np.square(expected.predict(features) - targets).mean()
    assert found.error(features, targets) == pytest.approx(error)


def test_a_start_is_what_the_penalty_pulls_towards():
    features, targets = samples(1)
    start = np.random.default_rng(2).normal(size=(6, 3))
    found = RidgeRegression(features, targets, start).fit(0.3)
    weight = penalty(features, 0.3)

    def cost(values):
        kernel, bias = values[:18].reshape(6, 3), values[18:]
        rest = np.square(features @ kernel + bias - targets).sum()
        return rest + weight * np.square(kernel - start).sum()

    best = minimize(cost, np.zeros(21), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(found.kernel.ravel(), best.x[:18], atol=1e-5)
    np.testing.assert_allclose(found.bias, best.x[18:], atol=1e-5)
    unchanged = RidgeRegression(features, targets, start).unchanged()
    assert unchanged.kernel is not start
    np.testing.assert_array_equal(unchanged.kernel, start)
    np.testing.assert_allclose((features @ start + unchanged.bias).mean(0), targets.mean(0))


def test_features_that_never_change_get_no_weight():
    features, targets = samples(3)
    features[:, 2] = 7.0
    found = RidgeRegression(features, targets).fit()
    np.testing.assert_array_equal(found.kernel[2], np.zeros(3))
    nothing = RidgeRegression(np.ones((5, 2)), targets[:5]).fit()
    assert not nothing.kernel.any() and np.isfinite(nothing.bias).all()
