"""A deterministic training computes so while it lasts, and leaves the process as it was."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config
from tiny_recipe import KilledHalfWay, quarters, tiny_data, tiny_donor

from efn_compose.train.engine.determinism import deterministic_kernels
from efn_compose.train.recipe import Classification, Trainer, TrainOptions, fit
from efn_compose.train.recipe.trainer import Silent
from efn_compose.train.resident.resident import ResidentModel, TrainSettings

OPTIONS = TrainOptions(epochs=1, batch_size=16, deterministic=True)


class _Asking(Silent):
    """Notes at each update whether TensorFlow's kernels are deterministic."""

    def __init__(self):
        self.found = []

    def on_update(self, done, planned, loss):
        self.found.append(config.is_op_determinism_enabled())


@pytest.fixture
def undetermined():
    """Let a test begin as a process does, whatever it or another one leaves behind."""
    config.disable_op_determinism()
    yield
    config.disable_op_determinism()


def _trained():
    """Return weights after a search's training, in a network that is built and traced for it."""
    donor, (images, labels) = tiny_donor(), quarters()
    network = ResidentModel(donor.spec, donor.conventions, 4, TrainSettings(batch_size=16), 16)
    network.load(donor.tensors, seed=1)
    order = network.epoch_order(96, seed=1)
    network.train(tf.constant(images), tf.constant(labels), order)
    found = network.tensors(with_head=True)
    return np.concatenate([found[name].ravel() for name in sorted(found)])


@pytest.mark.slow
def test_a_search_trains_to_the_same_bits_before_and_after_a_deterministic_training(
    undetermined,
):
    alone = _trained()
    trainer, watcher = Trainer(tiny_donor(), Classification(4, OPTIONS)), _Asking()
    fitted = fit(tiny_donor(), tiny_data(), trainer=trainer, watcher=watcher)
    assert watcher.found == [True] * 6
    fitted.predict(quarters()[0])
    np.testing.assert_array_equal(_trained(), alone)
    # It does see a difference: a process that asks for deterministic kernels itself rounds otherwise.
    with deterministic_kernels():
        assert np.abs(_trained() - alone).max() > 0


@pytest.mark.slow
def test_an_interrupted_training_leaves_nothing_behind_and_one_inside_another_changes_nothing(
    undetermined,
):
    trainer = Trainer(tiny_donor(), Classification(4, OPTIONS))
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_donor(), tiny_data(), trainer=trainer, watcher=KilledHalfWay())
    assert not config.is_op_determinism_enabled()
    # Who has asked for them before keeps them.
    with deterministic_kernels():
        fit(tiny_donor(), tiny_data(), trainer=trainer)
        assert config.is_op_determinism_enabled()
    assert not config.is_op_determinism_enabled()
