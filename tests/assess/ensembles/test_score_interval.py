"""Intervals of scores, beside SciPy's, the equations they solve, and how often they cover."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from efn_compose.assess.ensembles import score, score_interval
from efn_compose.assess.evaluation import area_interval


def interval(measure, labels, probability, clusters):
    found = score(measure, labels, probability)
    value = -found.value if measure == "loss" else found.value
    return score_interval(measure, value, found.standard_error(clusters), labels, clusters)


def answers(is_right):
    """Return labels, and probabilities that are right where they are told to be."""
    labels = np.arange(len(is_right)) % 2
    return labels, np.eye(2)[np.where(is_right, labels, 1 - labels)]


@given(st.lists(st.booleans(), min_size=2, max_size=60))
def test_an_accuracy_without_patients_has_the_interval_of_scipy(is_right):
    found = interval("accuracy", *answers(is_right), np.arange(len(is_right)))
    wanted = stats.binomtest(sum(is_right), len(is_right)).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_an_area_without_patients_has_the_interval_of_the_assessment():
    rng = np.random.default_rng(0)
    labels, second = np.arange(40) % 2, rng.random(40)
    for shift in (0.2, 2.0):  # overlapping, and perfectly apart
        stated = (second + shift * labels) / 3
        found = interval("auc", labels, np.stack([1 - stated, stated], 1), np.arange(40))
        wanted = area_interval(labels == 1, stated)
        # DeLong corrects each class for its size, the influence of rows all of them together.
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=0.01)


@pytest.mark.parametrize("right", [3, 8, 12])
def test_copies_of_an_image_say_no_more_than_the_image(right):
    """Five copies of twelve: the ends solve the score equation of twelve, with Student's t of eleven."""
    clusters = np.repeat(np.arange(12), 5)
    found = interval("accuracy", *answers(clusters < right), clusters)
    z = stats.norm.ppf(0.975) * stats.t.ppf(0.975, 11) / stats.t.ppf(0.975, 59)
    for end in (found.low, found.high):
        assert (found.value - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / 12, abs=1e-12)
    assert found.low < found.value <= found.high


@given(st.integers(0, 2**32 - 1), st.sampled_from(["accuracy", "auc", "loss"]))
def test_no_interval_leaves_the_values_that_a_score_can_have(seed, measure):
    rng = np.random.default_rng(seed)
    labels, clusters = np.arange(12) % 3, rng.integers(0, 4, 12)
    clusters[:2] = 0, 1
    stated = rng.dirichlet([0.2] * 3, 12) + 3 * rng.integers(0, 2) * np.eye(3)[labels]
    stated /= stated.sum(1, keepdims=True)
    found = interval(measure, labels, stated, clusters)
    assert 0 <= found.low <= found.value <= found.high
    assert measure == "loss" or found.high <= 1


def test_patients_who_are_all_equally_right_are_as_many_trials():
    """Their differences are those of rounding, which is no certainty."""
    clusters, is_right = np.repeat(np.arange(20), 3), np.tile([True, True, False], 20)
    found = interval("accuracy", *answers(is_right), clusters)
    z = stats.t.ppf(0.975, 19) / stats.t.ppf(0.975, 59) * stats.norm.ppf(0.975)
    # Wilson's interval of 20 trials.
    middle = (2 / 3 + z**2 / 40) / (1 + z**2 / 20)
    reach = z / (1 + z**2 / 20) * np.sqrt(2 / 9 / 20 + z**2 / 1600)
    assert (found.low, found.high) == pytest.approx((middle - reach, middle + reach), rel=1e-9)


def test_intervals_of_patients_cover_as_often_as_they_say():
    """Accuracy 0.9; each of 20 patients has 6 images and an accuracy of their own."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(20), 6)
    covered = left = 0
    for _ in range(600):
        is_right = rng.random(120) < rng.beta(3.6, 0.4, 20)[clusters]
        found = interval("accuracy", *answers(is_right), clusters)
        covered += found.low <= 0.9 <= found.high
        left += found.value + stats.t.ppf(0.975, 19) * found.standard_error > 1
    # 20 patients of skewed accuracies are few; the symmetric interval covers as often.
    assert 0.9 < covered / 600 < 0.98
    assert left > 60, "the symmetric interval stays within 0 to 1: no case for another one"
