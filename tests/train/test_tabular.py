"""Small networks for rows of a table: what categories mean, and what an unknown one gets."""

import numpy as np
import pytest

from efn_compose.train.tabular import TabularNetwork, TabularShape

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def network():
    return TabularNetwork(TabularShape(2, (5,), 2, 16, 0.2, 1e-4))


def test_a_category_that_decides_is_learnt_and_an_unknown_one_is_the_mean_of_all(network):
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 4, (200, 1))  # 4 is never seen
    labels = (codes[:, 0] == 2).astype(np.int64)
    values = rng.normal(size=(200, 2))
    network.fit(values, codes, labels, epochs=20, rate=0.02, seed=1)
    right = network(values, codes).argmax(axis=1) == labels
    assert right.mean() > 0.97  # the numbers know nothing: without categories two thirds
    table = network.model.get_layer("category_0").embeddings.numpy()
    counts = np.bincount(codes[:, 0], minlength=5)[1:4]
    assert table[0] == pytest.approx(counts @ table[1:4] / 200, abs=1e-5)
    first = network(values[:50], np.zeros((50, 1), int))
    # The same rows and seed again, after others: the same bits.
    network.fit(values, codes, 1 - labels, epochs=2, rate=0.02, seed=2)
    assert not np.array_equal(first, network(values[:50], np.zeros((50, 1), int)))
    network.fit(values, codes, labels, epochs=20, rate=0.02, seed=1)
    assert np.array_equal(first, network(values[:50], np.zeros((50, 1), int)))


def test_one_update_is_that_of_keras():
    """One batch, no dropout: Keras' own loss and Adam, from the same start."""
    import keras
    import tensorflow as tf

    ours = TabularNetwork(TabularShape(2, (5,), 2, 16, 0.0, 0.0))
    rng = np.random.default_rng(3)
    values, codes = rng.normal(size=(32, 2)), rng.integers(1, 5, (32, 1))
    labels = rng.integers(0, 2, 32)
    ours.fit(values, codes, labels, epochs=0, rate=0.01, seed=4)
    theirs = keras.models.clone_model(ours.model)
    theirs.set_weights(ours.model.get_weights())
    with tf.GradientTape() as tape:
        logits = theirs([values.astype(np.float32), codes.astype(np.int32)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    # Dense: Keras' Adam takes rows that occur twice in sparse gradients one by one.
    gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, theirs.trainable_variables)]
    keras.optimizers.Adam(0.01).apply(gradients, theirs.trainable_variables)
    ours.fit(values, codes, labels, epochs=1, rate=0.01, seed=4)
    for mine, wanted in zip(ours.model.weights, theirs.weights, strict=True):
        rows = slice(1, None) if "embeddings" in mine.path else slice(None)
        assert mine.numpy()[rows] == pytest.approx(wanted.numpy()[rows], abs=1e-5)
