"""The class-mean classifier against scikit-learn, and its scale against images left out one by one."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.neighbors import NearestCentroid

from efn_compose.numerics.class_means import SMOOTHING, best_scale, class_mean_head, left_out

RNG = np.random.default_rng(5)
LABELS = np.arange(60) % 4
CENTRES = RNG.normal(size=(4, 12))
FEATURES = 0.8 * CENTRES[LABELS] + RNG.normal(size=(60, 12))
SOFT = 0.7 * np.eye(4)[LABELS] + 0.3 * RNG.dirichlet(np.ones(4), 60)
STANDARD = (FEATURES - FEATURES.mean(axis=0)) / FEATURES.std(axis=0)


def _without(number, targets):
    """The nearness and log shares of one image, from the means of all others."""
    others = np.delete(targets, number, 0)
    means = (others.T @ np.delete(STANDARD, number, 0)) / others.sum(axis=0)[:, None]
    near = STANDARD[number] @ means.T - np.square(means).sum(axis=1) / 2
    return near, np.log((others.sum(axis=0) + 1) / (others.sum() + 4))


@pytest.mark.parametrize("targets", [np.eye(4)[LABELS], SOFT], ids=["labels", "shares"])
def test_what_images_are_told_is_what_means_without_them_say(targets):
    found = left_out(STANDARD, targets)
    for number in range(60):
        for one, other in zip(found, _without(number, targets), strict=True):
            np.testing.assert_allclose(one[number], other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("targets", [np.eye(4)[LABELS], SOFT], ids=["labels", "shares"])
def test_the_scale_is_that_of_least_cross_entropy_left_out(targets):
    told = [_without(number, targets) for number in range(60)]
    near, shares = (np.array(part) for part in zip(*told, strict=True))
    wanted = (1 - SMOOTHING) * targets + SMOOTHING / 4

    def loss(log_scale):
        logits = np.exp(log_scale) * near + shares
        return (np.log(np.exp(logits).sum(axis=1)) - (wanted * logits).sum(axis=1)).mean()

    best = np.exp(
        minimize_scalar(loss, bounds=(-9, 3), method="bounded", options={"xatol": 1e-9}).x
    )
    assert best_scale(near, shares, targets) == pytest.approx(best, rel=1e-5)
    # The kernel is that scale times the means, in the features' own units.
    means = (targets.T @ STANDARD) / targets.sum(axis=0)[:, None]
    kernel = class_mean_head(FEATURES, targets).kernel
    np.testing.assert_allclose(kernel, best * means.T / FEATURES.std(axis=0)[:, None], rtol=1e-4)


def test_with_equal_classes_it_answers_as_the_nearest_centroid_does():
    fit = class_mean_head(FEATURES, np.eye(4)[LABELS])
    truth = NearestCentroid().fit(STANDARD, LABELS)
    others = RNG.normal(size=(500, 12)) * FEATURES.std(axis=0) + FEATURES.mean(axis=0)
    standard = (others - FEATURES.mean(axis=0)) / FEATURES.std(axis=0)
    found = (others @ fit.kernel + fit.bias).argmax(axis=1)
    np.testing.assert_array_equal(found, truth.predict(standard))


def test_features_that_say_nothing_leave_the_classes_shares():
    labels = np.array([0] * 30 + [1] * 10)
    fit = class_mean_head(np.ones((40, 3)), np.eye(3)[labels])
    np.testing.assert_array_equal(fit.kernel, 0)
    np.testing.assert_allclose(np.exp(fit.bias), np.array([31, 11, 1]) / 43)


def test_images_without_a_label_change_nothing():
    targets = np.eye(4)[LABELS]
    more = np.concatenate([FEATURES, 9 * FEATURES[:20]])
    fit = class_mean_head(more, np.concatenate([targets, np.zeros((20, 4))]))
    alone = class_mean_head(FEATURES, targets)
    np.testing.assert_array_equal(fit.kernel, alone.kernel)
    np.testing.assert_array_equal(fit.bias, alone.bias)
    nobody = class_mean_head(FEATURES, np.zeros((60, 4)))
    assert not nobody.kernel.any() and not nobody.bias.any()
