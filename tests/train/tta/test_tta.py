"""Test-time augmentation by theorem: symmetric answers stay, merged answers are symmetric."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from efn_compose.assess.metrics import cross_entropy
from efn_compose.errors import ConfigError
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.tta import (
    TtaOptions,
    crop_views,
    drawn_views,
    make_views,
    merge_views,
    predict_views,
    symmetric_views,
)
from efn_compose.train.tta.options import VIEW_COUNTS

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 8, 8, 3), np.uint8)
WEIGHTS = RNG.normal(size=(8 * 8 * 3, 3)) / 300


def linear(images: np.ndarray) -> np.ndarray:
    """A predictor without any symmetry."""
    return images.reshape(len(images), -1) @ WEIGHTS


def colour_only(images: np.ndarray) -> np.ndarray:
    """A predictor that no flip or turn can change."""
    return images.mean(axis=(1, 2)) / 50


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("merge", ["mean", "median"])
@pytest.mark.parametrize("kind", ["flip", "flips", "dihedral"])
def test_a_symmetric_predictor_is_left_as_it_is(kind, merge):
    found = predict_views(colour_only, IMAGES, symmetric_views(kind), merge=merge)
    np.testing.assert_allclose(found, softmax(colour_only(IMAGES)), rtol=1e-12)


@pytest.mark.parametrize("merge", ["mean", "median", "rank"])
def test_the_group_makes_any_predictor_symmetric(merge):
    views = symmetric_views("dihedral")
    assert len({view(IMAGES[:1], np.arange(1)).tobytes() for view in views}) == 8
    wanted = predict_views(linear, IMAGES, views, merge=merge)
    assert np.abs(wanted - softmax(linear(IMAGES))).max() > 0.01
    for moved in (np.rot90(IMAGES, axes=(1, 2)), IMAGES[:, ::-1], IMAGES[:, :, ::-1]):
        found = predict_views(linear, np.ascontiguousarray(moved), views, merge=merge)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_quarter_turns_want_squares_and_flips_do_not():
    wide = IMAGES[:, :6]
    with pytest.raises(ConfigError, match="6 x 8 pixels"):
        predict_views(colour_only, wide, symmetric_views("dihedral"))
    found = predict_views(colour_only, wide, symmetric_views("flips"))
    np.testing.assert_allclose(found, softmax(colour_only(wide)), rtol=1e-12)


LOGITS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).normal(size=(4, 6, 3)) * 3
)


@settings(max_examples=30, deadline=None)
@given(LOGITS)
def test_merges_obey_their_theorems(logits):
    labels = np.arange(6) % 3
    mean, median, rank = (merge_views(logits, merge) for merge in ("mean", "median", "rank"))
    np.testing.assert_allclose(mean, np.mean([softmax(view) for view in logits], axis=0))
    # Jensen: the mean's loss is at most the mean loss.
    losses = [cross_entropy(view, labels) for view in logits]
    assert -np.log(mean[np.arange(6), labels]).mean() <= np.mean(losses) + 1e-12
    np.testing.assert_allclose(median.sum(axis=1), 1)
    wanted = np.mean([rankdata(softmax(view), axis=0) for view in logits], axis=0)
    np.testing.assert_allclose(rank, (wanted - 0.5) / 6)
    for merged, merge in ((mean, "mean"), (median, "median"), (rank, "rank")):
        np.testing.assert_allclose(merge_views(logits[::-1], merge), merged, rtol=1e-12)
        np.testing.assert_allclose(merge_views(logits + 5, merge), merged, rtol=1e-9)


def test_ranks_see_order_only_and_the_median_ignores_one_liar():
    # Two classes: sharpening a view's probabilities is monotone, whatever the temperature.
    logits = RNG.normal(size=(3, 7, 2))
    sharp = logits * np.array([1.0, 7.0, 0.2])[:, None, None]
    np.testing.assert_allclose(merge_views(sharp, "rank"), merge_views(logits, "rank"))
    assert np.abs(merge_views(sharp) - merge_views(logits)).max() > 0.05
    honest = np.tile(RNG.normal(size=(1, 4, 3)), (5, 1, 1))
    lied = honest.copy()
    lied[2] = [[50.0, -50.0, 0.0]] * 4
    np.testing.assert_allclose(merge_views(lied, "median"), merge_views(honest, "median"))
    for wrong in ((logits[0], "mean"), (logits, "best")):
        with pytest.raises(ConfigError, match="needed: logits"):
            merge_views(*wrong)


def test_crops_show_the_part_they_say():
    ramp = np.broadcast_to(np.arange(100)[None, None, :, None], (1, 100, 100, 3)).astype(np.uint8)
    whole, *crops = crop_views(0.5)
    assert whole(ramp, np.arange(1)) is ramp
    # The mean of a linear ramp over a box is its value in the box's middle.
    means = [float(view(ramp, np.arange(1)).mean()) for view in crops]
    np.testing.assert_allclose(means, [49.5, 24.5, 74.5, 24.5, 74.5], atol=0.5)
    tall = ramp.transpose(0, 2, 1, 3)
    means = [float(view(tall, np.arange(1)).mean()) for view in crops]
    np.testing.assert_allclose(means, [49.5, 24.5, 24.5, 74.5, 74.5], atol=0.5)
    same = crop_views(1.0)[3](IMAGES, np.arange(5))
    np.testing.assert_array_equal(same, IMAGES)


def test_draws_belong_to_image_number_view_and_seed():
    options = AugmentOptions(flip_x=0.5, rotation=40, contrast=0.3)
    numbers = np.array([7, 3, 9, 1, 5])

    def run(seed: int, batch_size: int, order: np.ndarray) -> np.ndarray:
        return predict_views(
            linear,
            IMAGES[order],
            drawn_views(options, 4, seed),
            numbers=numbers[order],
            batch_size=batch_size,
        )

    first = run(1, 256, np.arange(5))
    np.testing.assert_array_equal(run(1, 256, np.arange(5)), first)
    order = np.array([4, 2, 0, 1, 3])
    # One grey level of rounding at the most.
    np.testing.assert_allclose(run(1, 2, order), first[order], atol=2e-3)
    assert np.abs(run(2, 256, np.arange(5)) - first).max() > 0.01
    plain = drawn_views(options, 4, 1)[0](IMAGES, numbers)
    np.testing.assert_array_equal(plain, IMAGES)


def test_every_kind_has_its_number_of_views():
    for kind, count in VIEW_COUNTS.items():
        assert len(make_views(TtaOptions(views=kind))) == count
    assert len(make_views(TtaOptions(views="drawn", count=5))) == 5
