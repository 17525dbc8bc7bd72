"""A learned soup: its gradient against finite differences, and what it learns."""

import numpy as np
import pytest
import tensorflow as tf
from random_donors import first_stages, photo_like, random_donor

from efn_compose.compose.space import segments
from efn_compose.models import build_model
from efn_compose.soups.learned import SoupLearner, softmax

VARIANT, CLASSES = first_stages("b-w0.1-d0.3", 3), 3
#: A seed whose network sees all three classes in the images.
GOOD = random_donor(VARIANT, seed=1, classes=CLASSES)
SPEC = GOOD.spec
IMAGES = photo_like(24, 32, seed=3)


@pytest.fixture(scope="module")
def learner():
    model = build_model(SPEC, GOOD.conventions, classes=CLASSES, dropout=0.0, bn_momentum=0.9)
    donors = [random_donor(VARIANT, seed=seed, classes=CLASSES).tensors for seed in range(3)]
    return SoupLearner(model, SPEC, GOOD.conventions, CLASSES, donors)


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences(learner):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(segments(SPEC)), 3)) * 0.5
    batch = tf.constant(IMAGES), tf.constant(np.arange(24) % 3, tf.int32)
    loss, gradients = learner.gradients(softmax(logits), {}, *batch)
    found = learner.logit_gradient(logits, gradients)
    assert not learner.learns_head and np.isfinite(loss)
    directions = [rng.normal(size=logits.shape) for _ in range(3)]
    # One number each of stem, a block with squeeze-and-excite, and top (with the classifier).
    for segment in (0, 3, len(logits) - 1):
        directions.append(np.zeros(logits.shape))
        directions[-1][segment, 1] = 1.0
    step = 0.001
    for direction in directions:
        ends = [
            learner.gradients(softmax(logits + sign * step * direction), {}, *batch)[0]
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert (found * direction).sum() == pytest.approx(slope, rel=0.02, abs=1e-3)


@pytest.mark.slow
def test_a_spoilt_part_is_avoided_and_where_donors_agree_nothing_is_learned(learner):
    """Labels are what one donor says; the other is that donor with noise in its top."""
    rng = np.random.default_rng(0)
    top = ("top_conv/kernel", "predictions/kernel")
    spoilt = {
        name: values + 2 * values.std() * rng.normal(size=values.shape).astype(np.float32)
        if name in top
        else values
        for name, values in GOOD.tensors.items()
    }
    learner.donors = [spoilt, GOOD.tensors]
    for name, values in GOOD.tensors.items():
        learner._variables[name].assign(values)
    labels = learner.model(GOOD.preprocess(IMAGES), training=True).numpy().argmax(axis=1)
    assert len(set(labels.tolist())) > 1
    order = np.tile(np.arange(24, dtype=np.int32), (25, 1))
    soup = learner.learn(tf.constant(IMAGES), tf.constant(labels, tf.int32), order)
    np.testing.assert_allclose(soup.weights[:-1], 0.5, atol=0.02)
    assert soup.weights[-1, 1] > 0.7
    assert soup.losses[-1] < soup.losses[0] - 0.05


@pytest.mark.slow
def test_donors_without_a_classifier_learn_one_along():
    images = np.concatenate([photo_like(16, 32, seed=seed) // 3 + 60 * seed for seed in range(3)])
    labels = np.repeat(np.arange(3), 16).astype(np.int32)
    donors = [random_donor(VARIANT, seed=seed, classes=None).tensors for seed in range(2)]
    model = build_model(SPEC, GOOD.conventions, classes=CLASSES, dropout=0.0, bn_momentum=0.9)
    learner = SoupLearner(model, SPEC, GOOD.conventions, CLASSES, donors)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(48), (2, 1)), axis=1)
    soup = learner.learn(
        tf.constant(images), tf.constant(labels), order.reshape(8, 12).astype(np.int32), seed=3
    )
    assert learner.learns_head
    assert soup.weights.shape == (len(segments(SPEC)), 2) and len(soup.losses) == 8
    assert np.abs(soup.weights - 0.5).max() > 0.05
    assert soup.losses[-1] < soup.losses[0]
