"""Methods that paint: colours as scikit-image has them, hidden cells, losses, what learns and what stays."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_recipe import quarters, tiny_donor

from efn_compose.donors.lineage import lineage_cosine
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.train.augment.draws import Draws
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe import Trainer, fit
from efn_compose.train.selfsup import PretrainOptions
from efn_compose.train.selfsup.lab import lab_colours, lab_to_rgb, rgb_to_lab
from efn_compose.train.selfsup.methods.autoencoder import CELLS, Autoencoder, hide_cells
from efn_compose.train.selfsup.methods.colourisation import Colourisation, greyed
from efn_compose.train.selfsup.options import ViewOptions
from efn_compose.train.selfsup.table import make_objective

# Whichever test comes first builds the networks of all.
pytestmark = pytest.mark.slow


def colours(count=500):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3))
    return np.concatenate([pixels, [[0, 0, 0], [255, 255, 255], [9, 10, 11]]]).astype(np.float64)


@pytest.mark.parity
def test_lab_is_that_of_scikit_image():
    from skimage.color import rgb2lab

    wanted = rgb2lab(colours() / 255)
    np.testing.assert_allclose(rgb_to_lab(colours()), wanted, atol=2e-3)
    np.testing.assert_allclose(lab_colours(tf.constant(colours())), wanted[:, 1:], atol=5e-3)


def test_colours_return_from_lab():
    np.testing.assert_allclose(lab_to_rgb(rgb_to_lab(colours())), colours(), atol=1e-6)


def test_grey_has_no_colour_and_what_keeps_its_colours_keeps_them():
    images = quarters(6)[0].astype(np.float32)
    keeps = np.array([True, False] * 3)
    seen = greyed(tf.constant(images), tf.constant(keeps)).numpy()
    np.testing.assert_allclose(seen[keeps], images[keeps], atol=1e-3)
    assert np.ptp(seen[~keeps], axis=-1).max() < 1e-3
    assert np.abs(rgb_to_lab(seen[~keeps])[..., 1:]).max() < 0.02


def test_a_quarter_of_the_cells_is_hidden_whole():
    images = np.random.default_rng(0).integers(0, 100, (100, 16, 16, 3)).astype(np.float32)
    seen = hide_cells(tf.constant(images), Draws(tf.range(100), 0, 1)).numpy()
    hidden = (seen == 127.5).all(axis=-1).reshape(100, CELLS, 2, CELLS, 2)
    whole, any_hidden = hidden.all(axis=(2, 4)), hidden.any(axis=(2, 4))
    np.testing.assert_array_equal(whole, any_hidden)
    assert abs(whole.mean() - 0.25) < 0.02
    kept = ~np.repeat(np.repeat(whole, 2, axis=1), 2, axis=2)
    np.testing.assert_array_equal(seen[kept], images[kept])


def test_losses_are_those_of_their_formulas():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 3, 16, 16, 2)).astype(np.float32)
    found = Colourisation().painted_loss(tf.constant(a), tf.constant(b)).numpy()
    distance = np.abs(a - b).astype(float)
    huber = np.where(distance < 0.1, distance**2 / 2, 0.1 * (distance - 0.05)) / 0.01
    np.testing.assert_allclose(found, huber.mean(axis=(1, 2, 3)), rtol=1e-5)
    images = tf.constant(rng.random((3, 16, 16, 3)).astype(np.float32))
    np.testing.assert_allclose(Autoencoder().painted_loss(images, images), 0, atol=1e-6)
    # Without contrast and far apart there is no similarity: 2xy / (x^2 + y^2), here 0.
    black, white = tf.zeros((1, 16, 16, 3)), tf.ones((1, 16, 16, 3))
    np.testing.assert_allclose(Autoencoder().painted_loss(black, white), [1.1], atol=1e-3)


@pytest.fixture(scope="module", params=["autoencoder", "colourisation"])
def painted(request):
    options = PretrainOptions(
        methods=(request.param,), epochs=30, batch_size=16, learning_rate=0.01
    )
    trainer = Trainer(tiny_donor(), make_objective(request.param, options, ViewOptions()))
    images = quarters(96)[0]
    data = TrainingData.of_images(images[:64], images[64:])
    return fit(tiny_donor(), data, trainer=trainer), trainer, data


def test_painting_is_learnt_and_its_decoder_thrown_away(painted):
    fitted, _, data = painted
    losses = [record.train_loss for record in fitted.history.epochs]
    assert losses[-1] < 0.7 * losses[0]
    donor = fitted.donor
    assert donor.tensors.keys() == tiny_donor().tensors.keys() and not donor.parts
    assert 0.5 < lineage_cosine(donor, tiny_donor()) < 1
    start = absorb_statistics(tiny_donor(), data.train_images, "all")
    kept = [
        name for name in start.tensors if np.array_equal(start.tensors[name], donor.tensors[name])
    ]
    # No decoder reads the top: it stays, but for the statistics of what it now reads.
    assert {name.partition("/")[2] for name in kept} == {"kernel", "gamma", "beta"}
    assert {name.partition("_")[0] for name in kept} == {"top"}


def test_pictures_show_what_was_seen_painted_and_wanted(painted):
    fitted, trainer, data = painted
    trainer.put(fitted.last)
    seen, shown, images = trainer.objective.pictures(data.train_images[:4])
    assert seen.shape == shown.shape == images.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(images, data.train_images[:4])
    assert np.abs(shown.astype(int) - seen).mean() > 1


def test_what_is_painted_is_nearer_than_any_constant(painted):
    fitted, trainer, data = painted
    trainer.put(fitted.last)
    images, objective = data.validation_images.astype(np.float32), trainer.objective
    if isinstance(objective, Colourisation):
        seen, wanted = (
            greyed(tf.constant(images), tf.zeros(32, tf.bool)),
            rgb_to_lab(images)[..., 1:] / 110,
        )
    else:
        seen, wanted = images, images / 255
    left = ((objective.painted(seen) - wanted) ** 2).mean()
    assert left < 0.96 * wanted.var(axis=(0, 1, 2)).mean()
