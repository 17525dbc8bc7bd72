"""IoU and Dice: sets by brute force, empty masks, the identity, and thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import jaccard_score

from efn_compose.assess.overlap import (
    best_threshold,
    check_identity,
    count_overlaps,
    dice_of,
    iou_of,
    overlap_scores,
    to_masks,
)
from efn_compose.errors import EvaluationError

CLASSES = 3
masks = arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2]))
true_masks = arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, 255]))


def present(*masks):
    return sorted(set(np.concatenate(masks).tolist()) - {0})


@given(masks, true_masks)
def test_counts_and_scores_are_those_of_sets(predicted, true):
    counts = count_overlaps(predicted, true, CLASSES)
    for image in range(2):
        for number in range(1, CLASSES):
            places = [tuple(p) for p in np.argwhere(true[image] != 255)]
            mine = {p for p in places if predicted[image][p] == number}
            theirs = {p for p in places if true[image][p] == number}
            row = counts[image, number - 1]
            assert row.tolist() == [len(mine & theirs), len(mine), len(theirs)]
            union = len(mine | theirs)
            assert iou_of(row) == (len(mine & theirs) / union if union else 1)
            total = len(mine) + len(theirs)
            assert dice_of(row) == (2 * len(mine & theirs) / total if total else 1)
    scores = overlap_scores(counts)
    of = [
        # The mean over classes that either mask has: scikit-learn's by the labels that are there.
        jaccard_score(known, wanted, labels=there, average="macro")
        if (there := present(known, wanted))
        else 1
        for known, wanted in (
            (predicted[i][true[i] != 255], true[i][true[i] != 255]) for i in range(2)
        )
    ]
    assert scores["iou"] == pytest.approx(np.mean(of))
    assert scores["iou"] <= scores["dice"] + 1e-12
    assert scores["iou_pooled"] <= scores["dice_pooled"] + 1e-12


def test_an_empty_answer_is_right_only_where_the_mask_is_empty():
    empty, disc = np.zeros((1, 4, 4), np.uint8), np.ones((1, 4, 4), np.uint8)
    for predicted, true, score in ((empty, empty, 1), (empty, disc, 0), (disc, empty, 0)):
        found = overlap_scores(count_overlaps(predicted, true, 2))
        assert set(found.values()) == {score}


def test_an_empty_answer_is_worth_nothing_however_many_classes_an_image_lacks():
    true = np.zeros((3, 4, 4), np.uint8)
    true[0, :2], true[1, :2] = 5, 9
    scores = overlap_scores(count_overlaps(np.zeros_like(true), true, 21))
    # The third image has nothing, and nothing is found.
    assert scores["iou"] == scores["dice"] == pytest.approx(1 / 3)
    assert scores["iou_pooled"] == scores["dice_pooled"] == 0


def test_a_table_that_contradicts_itself_is_refused():
    # A published table for one set of lesions: Dice 93 %, IoU 96 %.
    with pytest.raises(EvaluationError, match=r"would be 0\.8692"):
        check_identity(np.array([0.96]), np.array([0.93]))


def test_pooled_scores_weigh_pixels_and_not_images():
    counts = np.array([[[90, 100, 100]], [[0, 1, 1]]])
    scores = overlap_scores(counts)
    assert scores["iou"] == pytest.approx((90 / 110 + 0) / 2)
    assert scores["iou_pooled"] == pytest.approx(90 / 112)


def test_the_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    true = (rng.random((4, 8, 8)) < 0.3).astype(np.uint8)
    one = np.clip(rng.normal(0.25 + 0.3 * true, 0.1), 0, 1)
    probability = np.stack([1 - one, one], axis=-1)
    chosen = best_threshold(probability, true)
    of = {
        t: iou_of(count_overlaps((one >= t).astype(np.uint8), true, 2).sum(0))[0]
        for t in np.round(np.arange(0.05, 1, 0.05), 2)
    }
    assert chosen.iou == max(of.values()) and of[chosen.threshold] == chosen.iou
    assert of[0.5] < chosen.iou
    assert (to_masks(probability, chosen.threshold) == (one >= chosen.threshold)).all()
    assert (to_masks(probability) == probability.argmax(-1)).all()
