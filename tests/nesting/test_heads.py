"""Classifiers: widened without changing old logits, or fitted in closed form."""

import numpy as np
import pytest
from float64_networks import float64_donor, logits_of, random_images
from sklearn.linear_model import RidgeClassifier

from efn_compose.donors.trained_for import TrainedFor
from efn_compose.errors import ConfigError, DataError
from efn_compose.nesting import nest, ridge_head, widen_head
from efn_compose.nesting.heads import fit_ridge
from efn_compose.nesting.running.verify import random_pixels


def test_widening_keeps_old_logits_and_starts_new_ones_at_their_mean():
    donor, images = float64_donor("lite-w0.25-d0.3"), random_images()
    wide = widen_head(donor, 10)
    old, new = logits_of(donor, images), logits_of(wide, images)
    np.testing.assert_array_equal(new[:, :7], old)
    np.testing.assert_allclose(new[:, 7:], np.repeat(old.mean(1, keepdims=True), 3, 1), rtol=1e-9)


@pytest.mark.parametrize(("classes", "given"), [(7, 5), (None, 5)])
def test_narrowing_or_widening_nothing_is_refused(classes, given):
    with pytest.raises(ConfigError, match="cannot widen"):
        widen_head(float64_donor("lite-w0.25-d0.3", classes=classes), given)


def _blobs(seed):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(4, 30))
    labels = rng.integers(0, 4, 150)
    return centres[labels] * 0.4 + rng.normal(size=(150, 30)), labels


def test_closed_form_head_is_as_good_as_sklearns():
    (train, labels), (test, test_labels) = _blobs(1), _blobs(2)
    kernel, bias = fit_ridge(train, np.eye(4)[labels])
    ours = ((test @ kernel + bias).argmax(1) == test_labels).mean()
    theirs = max(
        RidgeClassifier(a).fit(train, labels).score(test, test_labels) for a in (1, 10, 100)
    )
    assert ours >= theirs - 0.02
    # Logits, not scores: their probabilities fit unseen labels better than chance and certainty.
    logits = test @ kernel + bias
    losses = [
        np.mean(np.log(np.exp(s * logits).sum(1)) - s * logits[np.arange(150), test_labels])
        for s in (0.2, 1, 5)
    ]
    assert losses[1] < min(losses[0], losses[2], np.log(4))


def test_constant_features_do_not_disturb_the_fit():
    train, labels = _blobs(1)
    kernel, bias = fit_ridge(np.c_[train, np.full(150, 3.0)], np.eye(4)[labels])
    assert np.isfinite(kernel).all() and np.isfinite(bias).all()
    assert not kernel[-1].any()


def test_fitted_head_survives_nesting():
    donor = float64_donor("lite-w0.25-d0.3", classes=None, side=32)
    pixels, labels = random_pixels(40, 32), np.arange(40) % 2
    pixels[labels == 1, :, :, 0] += 60
    fitted = ridge_head(donor, np.clip(pixels, 0, 255), labels)
    inputs = fitted.preprocess(np.clip(pixels, 0, 255))
    assert (logits_of(fitted, inputs).argmax(1) == labels).mean() > 0.9
    nested = nest(fitted, "lite-w0.35-d0.6")
    assert nested.classes == 2
    np.testing.assert_array_equal(
        logits_of(nested, inputs).argmax(1), logits_of(fitted, inputs).argmax(1)
    )


def test_a_fitted_head_has_classes_of_its_own():
    """As many classes as before are not the same ones: `predict` would name them wrongly."""
    donor = float64_donor("lite-w0.25-d0.3", classes=3, class_offset=1)
    donor = donor.replace(provenance=TrainedFor(32, ("cat", "dog", "owl")).added_to({"tag": "a"}))
    fitted = ridge_head(donor, random_pixels(6, 32), np.arange(6) % 3)
    assert TrainedFor.of(fitted.provenance, 3) == TrainedFor()
    assert (fitted.classes, fitted.conventions.class_offset) == (3, 0)
    assert fitted.provenance == {"tag": "a"}


def test_labels_must_fit():
    donor = float64_donor("lite-w0.25-d0.3")
    with pytest.raises(DataError, match="labels from 0 to 1"):
        ridge_head(donor, random_pixels(4, 32), np.array([0, 1, 2, 1]), classes=2)
