"""Rotation: turns as numpy turns, images that have an up, and images that have none."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_recipe import tiny_donor

from efn_compose.errors import DataError
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe import Trainer, fit
from efn_compose.train.selfsup import PretrainOptions
from efn_compose.train.selfsup.methods.rotation import Rotation, turned

# Whichever test comes first builds the network of all.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer():
    options = PretrainOptions(methods=("rotation",), epochs=30, batch_size=16, learning_rate=0.01)
    return Trainer(tiny_donor(), Rotation(options))


def with_light_from(side, count=144, seed=0):
    """Noise under light that falls from each edge to the next, downwards or outwards."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-7.5:8, -7.5:8]
    light = (y % 8 if side == "top" else np.hypot(x, y) % 8) / 4 - 1
    images = rng.integers(0, 40, (count, 16, 16, 3)) + 60 * (1 + light[..., None])
    return np.clip(images, 0, 255).astype(np.uint8)


def data(side):
    images = with_light_from(side)
    return TrainingData.of_images(images[:64], images[64:])


def test_turns_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3)).astype(np.float32)
    wanted = [np.rot90(images, turns, axes=(1, 2)) for turns in range(4)]
    np.testing.assert_array_equal(turned(tf.constant(images)), np.concatenate(wanted))


def test_images_with_an_up_are_learnt(trainer):
    fitted = fit(tiny_donor(), data("top"), trainer=trainer)
    assert fitted.history.epochs[-1].validation["rotation"] > 0.6
    assert fitted.donor.tensors.keys() == tiny_donor().tensors.keys()


def test_images_without_an_up_are_refused_by_name_after_fifty_updates(trainer):
    seen = []

    class Watcher:
        def on_update(self, done, planned, loss):
            seen.append(done)

        def on_epoch(self, history):
            pass

    with pytest.raises(DataError, match=r"rotation: \d+% of the turns .* after 52 .* no up"):
        fit(tiny_donor(), data("middle"), trainer=trainer, watcher=Watcher())
    assert seen[-1] == 52
