"""Intervals, areas, calibration and thresholds against published numbers, scipy and scikit-learn."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from efn_compose.assess.evaluation import area_interval, assess, calibration, threshold_table
from efn_compose.assess.evaluation.intervals import share_interval
from efn_compose.errors import ConfigError, DataError

#: Positives and negatives with coarse scores, so that ties occur.
SAMPLES = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=40).filter(
    lambda rows: 2 <= sum(positive for positive, _ in rows) <= len(rows) - 2
)


def arrays(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    positive, score = zip(*rows, strict=True)
    return np.array(positive), np.array(score) / 6


def test_area_and_error_of_hanley_and_mcneils_radiographs():
    """109 CT images rated 1 to 5 (Hanley and McNeil 1982, table I).

    Area 0.893 there; DeLong's error 0.0307 and the ends 0.83295 and 0.95339 are in the manual
    of a statistics package that uses the same data.
    """
    ratings = np.repeat([1, 2, 3, 4, 5] * 2, [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    found = area_interval(np.repeat([False, True], [58, 51]), ratings)
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    assert found.standard_error == pytest.approx(0.0307, abs=5e-5)
    assert found.value - 1.959964 * found.standard_error == pytest.approx(0.83295, abs=5e-6)
    assert found.value + 1.959964 * found.standard_error == pytest.approx(0.95339, abs=5e-6)


@settings(max_examples=40, deadline=None)
@given(SAMPLES)
def test_area_is_scikit_learns_and_error_is_the_double_sum(rows):
    positive, scores = arrays(rows)
    found = area_interval(positive, scores)
    assert found.value == pytest.approx(metrics.roc_auc_score(positive, scores))
    assert 0 <= found.low <= found.value <= found.high <= 1
    if 0 < found.value < 1:
        # Every pair by itself, as the paper defines it.
        wins = np.array(
            [[(p > n) + (p == n) / 2 for n in scores[~positive]] for p in scores[positive]]
        )
        variance = np.var(wins.mean(1), ddof=1) / len(wins)
        variance += np.var(wins.mean(0), ddof=1) / wins.shape[1]
        assert found.standard_error == pytest.approx(math.sqrt(variance))
    assert area_interval(positive, np.exp(3 * scores)).value == pytest.approx(found.value)
    assert area_interval(~positive, -scores).value == pytest.approx(found.value)


def test_intervals_cover_the_true_area_as_often_as_they_say():
    rng = np.random.default_rng(0)
    shift = 1.8
    truth = stats.norm.cdf(shift / math.sqrt(2))
    labels = np.repeat([True, False], [30, 70])
    covered = 0
    for _ in range(2000):
        found = area_interval(labels, rng.normal(size=100) + shift * labels)
        covered += found.low <= truth <= found.high
    # 0.95 within what a 100-image sample allows; a symmetric interval covers less here.
    assert 0.935 < covered / 2000 < 0.975


def test_a_perfect_order_is_not_taken_for_certainty():
    labels = np.repeat([False, True], [20, 3])
    found = area_interval(labels, np.arange(23))
    assert (found.value, found.high) == (1.0, 1.0)
    # At this area, three pairs that share no image are all in order in 2.5 % of samples.
    assert found.low**3 == pytest.approx(0.025)
    single = area_interval(np.array([True, False, False]), np.array([2, 1, 3]))
    assert (single.low, single.high) == (0.0, 1.0)
    with pytest.raises(DataError, match="0 negatives"):
        area_interval(np.ones(3, bool), np.arange(3))
    with pytest.raises(DataError, match="1 scores are not finite"):
        area_interval(np.array([True, False]), np.array([1, np.nan]))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_scipys(counts):
    found = share_interval(*counts, level=0.9)
    wanted = stats.binomtest(*counts).proportion_ci(0.9, method="wilson")
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_calibration_of_bins_counted_by_hand():
    stated = np.array([0.05, 0.15, 0.55, 0.65, 0.95, 1.0])
    came_true = np.array([0, 1, 1, 0, 1, 1]) == 1
    error, table = calibration(stated, came_true, bins=2)
    # Below 0.5: mean 0.10, half came true. Above: mean 0.7875, three of four.
    assert [(row.images, row.stated, row.observed) for row in table] == [
        (2, pytest.approx(0.10), 0.5),
        (4, pytest.approx(0.7875), 0.75),
    ]
    assert error == pytest.approx((2 * 0.4 + 4 * 0.0375) / 6)
    by_count, table = calibration(stated, came_true, bins=3, by="count")
    assert [row.images for row in table] == [2, 2, 2]
    assert by_count == pytest.approx((0.4 + abs(0.6 - 0.5) + abs(0.975 - 1)) / 3)


def test_calibration_of_constants_and_of_the_truth():
    rng = np.random.default_rng(0)
    came_true = rng.random(1000) < 0.3
    error, _ = calibration(np.full(1000, 0.8), came_true)
    assert error == pytest.approx(abs(0.8 - came_true.mean()))
    stated = rng.random(100_000)
    honest, table = calibration(stated, rng.random(100_000) < stated)
    # Each of 15 bins of 6,667 images is off by less than five standard errors.
    assert honest < 5 * 0.5 / math.sqrt(6_667)
    assert sum(row.images for row in table) == 100_000
    overconfident, _ = calibration(np.sqrt(stated), rng.random(100_000) < stated)
    # The integral of sqrt(p) - p over 0 to 1.
    assert overconfident == pytest.approx(1 / 6, abs=0.01)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(SAMPLES)
def test_thresholds_are_the_points_of_scikit_learns_curve(rows):
    positive, scores = arrays(rows)
    points = threshold_table(positive, scores, [0.5, 0.9], thresholds=[0.4])
    alarms, hits, levels = metrics.roc_curve(positive, scores, drop_intermediate=False)
    youden = points[0]
    assert youden.sensitivity + youden.specificity - 1 == pytest.approx(max(hits - alarms))
    for wanted, point in zip((0.5, 0.9), points[1:3], strict=True):
        reached = hits >= wanted - 1e-12
        assert 1 - point.specificity == pytest.approx(alarms[reached].min())
        assert point.threshold == pytest.approx(levels[reached].max())
    assert points[3].threshold == 0.4
    for point in points:
        called = scores >= point.threshold
        (tn, fp), (fn, tp) = metrics.confusion_matrix(positive, called, labels=[False, True])
        assert (tn, fp, fn, tp) == (
            point.true_negatives,
            point.false_positives,
            point.false_negatives,
            point.true_positives,
        )
        if called.any():
            precision = metrics.precision_score(positive, called)
            assert point.positive_predictive_value == pytest.approx(precision)
        if not called.all():
            of_negatives = metrics.precision_score(~positive, ~called)
            assert point.negative_predictive_value == pytest.approx(of_negatives)


def test_several_classes_one_against_the_rest():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 400)
    logits = rng.normal(size=(400, 3)) + 1.5 * np.eye(3)[labels]
    given_ = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = assess(labels, given_, ["a", "b", "c"])
    assert found.accuracy.value == metrics.accuracy_score(labels, given_.argmax(1))
    assert found.auc == pytest.approx(metrics.roc_auc_score(labels, given_, multi_class="ovr"))
    assert found.loss == pytest.approx(metrics.log_loss(labels, given_))
    assert found.brier == pytest.approx(
        sum(metrics.brier_score_loss(labels == c, given_[:, c]) for c in range(3))
    )
    assert [row.name for row in found.classes] == ["a", "b", "c"]
    assert found.majority == np.bincount(labels).max() / 400
    assert "AUC" in str(found) and str(found).count("\n") == 3
    json.dumps(found.to_json(), allow_nan=False)


def test_of_many_classes_people_see_those_that_are_told_worst():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 5)
    # Class 7 alone is never told from the others; the rest is mostly right.
    given_ = rng.dirichlet(np.ones(40), 200) + 0.5 * np.eye(40)[labels] * (labels != 7)[:, None]
    found = assess(labels, given_ / given_.sum(1, keepdims=True), [f"c{n}" for n in range(40)])
    lines = str(found).splitlines()
    assert len(lines) == 14 and lines[1].startswith("Of 40 classes, the 12 that are told worst")
    assert lines[2].startswith("c7: 5 images") and len(found.to_json()["classes"]) == 40


def test_two_classes_are_about_the_second_and_a_missing_one_is_said():
    labels = np.array([0, 0, 1, 1, 0])
    found = assess(labels, np.array([0.1, 0.4, 0.8, 0.3, 0.2]), ["benign", "malignant"])
    assert [row.name for row in found.classes] == ["malignant"]
    assert found.auc == pytest.approx(5 / 6)
    assert found.loss == pytest.approx(
        metrics.log_loss(labels, np.array([0.1, 0.4, 0.8, 0.3, 0.2]))
    )
    text = str(found)
    assert "Youden" in text and "sensitivity 0.95" in text
    # The lowest score is a positive's: to find it all are called so, and no negative is left.
    low = str(assess(np.array([1, 0, 1]), np.array([0.1, 0.5, 0.9])))
    assert "nan" not in low and "–" in low
    alone = assess(np.zeros(3, int), np.full((3, 2), 0.5))
    assert alone.auc is None and "one kind is missing" in str(alone)
    assert json.loads(json.dumps(alone.to_json(), allow_nan=False))["classes"][0]["auc"] is None


def test_everything_wrong_with_predictions_is_listed():
    with pytest.raises(DataError) as caught:
        assess(np.array([0.5, 1.0]), np.array([[0.5, 0.6, 0.2], [0.3, 0.3, 0.4]]))
    assert "off by 0.3" in str(caught.value) and "received float64" in str(caught.value)
    with pytest.raises(DataError, match="1 images are outside 0 to 1 or not numbers"):
        assess(np.array([0, 1]), np.array([[np.nan, 0.6], [0.3, 0.7]]))
    with pytest.raises(DataError, match="expected 0 to 1, received 0 to 7"):
        assess(np.array([0, 7]), np.array([0.2, 0.7]))
    with pytest.raises(DataError, match="at least one image"):
        assess(np.zeros(0, int), np.zeros((0, 2)))
    with pytest.raises(ConfigError, match="at most 1"):
        threshold_table(np.array([True, False]), np.array([1, 0]), [95.0])
