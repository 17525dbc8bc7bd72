"""Monitors against closed forms, brute force and scikit-learn; alarms against their bounds."""

import numpy as np
import pytest

from efn_compose.train.selfsup.monitors import (
    Reference,
    agreement,
    alarms,
    effective_rank,
    knn_accuracy,
    knn_votes,
    monitor,
    nearest,
    spread,
)

HEALTHY = {"spread": 1.0, "rank_share": 1.0, "neighbours": 0.8}


def clusters(seed=0, count=60, dimensions=6):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return rng.normal(size=(count, dimensions)) + 2 * np.eye(3, dimensions)[labels], labels


def test_spread_tells_a_sphere_from_a_point():
    rng = np.random.default_rng(1)
    assert abs(spread(rng.normal(size=(4000, 32))) - 1) < 0.01
    assert spread(1 + 1e-3 * rng.normal(size=(500, 32))) < 0.01


@pytest.mark.parametrize("dimensions", [1, 2, 7])
def test_effective_rank_counts_equally_strong_dimensions(dimensions):
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 20)))
    corners = np.concatenate([np.eye(20)[:dimensions], -np.eye(20)[:dimensions]])
    np.testing.assert_allclose(effective_rank(5 + 3 * corners @ turn), dimensions, rtol=1e-9)


def test_neighbours_are_those_of_sorting_all_cosines():
    features, _ = clusters()
    found = nearest(features, 4)
    for number, row in enumerate(found):
        cosines = {
            other: features[number] @ features[other] / np.linalg.norm(features[other])
            for other in range(len(features))
            if other != number
        }
        assert set(row) == set(sorted(cosines, key=cosines.get)[-4:])
    assert agreement(features, found) == 1.0
    assert agreement(features * 7, found) == 1.0
    strangers = np.random.default_rng(9).normal(size=features.shape)
    assert agreement(strangers, found) < 0.3


def test_neighbours_vote_as_in_scikit_learn():
    from sklearn.model_selection import LeaveOneOut, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    features, labels = clusters(2)
    model = KNeighborsClassifier(5, metric="cosine", weights=lambda distances: 2 - distances)
    wanted = cross_val_predict(model, features, labels, cv=LeaveOneOut())
    assert knn_votes(features, labels, 5) == (wanted == labels).mean()


def test_only_labelled_images_vote():
    features, labels = clusters()
    some = np.where(np.arange(60) < 30, labels, -1)
    assert knn_accuracy(features, some) == knn_votes(features[:30], labels[:30], 5)
    assert knn_accuracy(features, np.full(60, -1)) is None
    assert knn_accuracy(features, np.zeros(60, int)) is None


def test_a_network_that_has_not_moved_is_healthy_and_equal_to_the_donor():
    features, labels = clusters()
    found = monitor(features, Reference.of(features, labels))
    assert found["neighbours"] == found["rank_share"] == 1.0
    assert found["knn_gain"] == 0.0
    assert alarms([found], 8) == []


@pytest.mark.parametrize(
    ("epochs", "updates", "word"),
    [
        ([{"spread": 0.29}], 8, "collapse"),
        ([{"rank_share": 0.49}], 8, "lost dimensions"),
        ([{"rank_share": 0.15}, {"rank_share": 0.09}], 8, "lost dimensions"),
        ([{"neighbours": 0.09}], 50, "drift"),
        ([{"knn_gain": -0.03}, {"knn_gain": -0.021}], 8, "labels"),
        ([{"teacher_moved": 0.0}], 8, "teacher"),
    ],
)
def test_each_alarm_has_its_bound(epochs, updates, word):
    (found,) = alarms([HEALTHY | epoch for epoch in epochs], updates)
    assert found.startswith(word)


@pytest.mark.parametrize(
    ("epochs", "updates"),
    [
        ([{"spread": 0.31}], 8),
        ([{"rank_share": 0.51}], 8),
        ([{"rank_share": 0.2}, {"rank_share": 0.11}], 8),
        ([{"neighbours": 0.09}], 49),
        ([{"knn_gain": -0.03}], 8),
        ([{"knn_gain": -0.03}, {"knn_gain": -0.01}], 8),
        ([{"teacher_moved": 1e-3}], 8),
    ],
)
def test_within_the_bounds_there_is_no_alarm(epochs, updates):
    assert alarms([HEALTHY | epoch for epoch in epochs], updates) == []
