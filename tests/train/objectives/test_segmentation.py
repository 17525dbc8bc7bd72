"""Segmentation: it learns, its encoder comes off, frozen means frozen, and what it refuses."""

import dataclasses
import tracemalloc
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny_masks import disc_data, disc_donor, discs

from efn_compose.arch import DecoderSpec
from efn_compose.arch.decoder import OUTPUT_LAYER
from efn_compose.assess.overlap import count_overlaps, overlap_scores, to_masks
from efn_compose.donors import load_donor
from efn_compose.donors.unet import attached, decoder_of
from efn_compose.errors import ConfigError, DataError, FurtherPartError
from efn_compose.jobs.decoders import detach
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.objectives.objective import Seen
from efn_compose.train.objectives.options import ObjectiveOptions
from efn_compose.train.objectives.segmentation import Segmentation
from efn_compose.train.recipe import Trainer, TrainOptions, fit
from efn_compose.train.tta import symmetric_views

pytestmark = pytest.mark.slow
OPTIONS = TrainOptions(epochs=6, batch_size=16, learning_rate=0.02, monitor="iou")


@pytest.fixture(scope="module")
def trainer():
    return Trainer(disc_donor(), Segmentation(2, OPTIONS))


@pytest.fixture(scope="module")
def fitted(trainer):
    return fit(disc_donor(), disc_data(), augment=AugmentOptions(rotation=20), trainer=trainer)


def test_discs_are_learnt_and_scored_by_the_same_definitions(fitted):
    data = disc_data()
    scores = fitted.history.epochs[-1].validation
    assert scores["iou_pooled"] > 0.8, scores
    views = symmetric_views("flip")
    objective = fitted.trainer.objective
    plain = objective.answers(fitted.predict, data.validation_images, views[:1], "mean")
    assert plain.shape == (16, 16, 16, 2) and plain.sum(-1) == pytest.approx(1, abs=1e-5)
    counts = count_overlaps(to_masks(plain), data.validation_masks, 2)
    assert overlap_scores(counts)["iou"] == pytest.approx(scores["iou"])
    twice = objective.answers(fitted.predict, data.validation_images, views, "mean")
    assert overlap_scores(count_overlaps(to_masks(twice), data.validation_masks, 2))["iou"] > 0.75


def test_the_bias_begins_at_the_shares_of_known_pixels_counted_mask_by_mask(trainer):
    trainer.start(disc_donor(), 1, disc_data(), 4)
    masks = np.zeros((40, 256, 256), np.uint8)
    masks[:, :64], masks[:, -64:] = 1, 255
    tracemalloc.start()
    trainer.objective.begin(SimpleNamespace(train_masks=masks), 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    bias = trainer.model.get_layer(OUTPUT_LAYER).bias
    np.testing.assert_allclose(bias, np.log([2 / 3, 1 / 3]), rtol=1e-5)
    assert peak < masks.nbytes


def test_the_encoder_comes_off_trained_and_without_a_trace_of_the_decoder(fitted, tmp_path):
    disc_donor().save(tmp_path / "before.h5")
    fitted.donor.save(tmp_path / "unet.h5")
    found = detach(tmp_path / "unet.h5", tmp_path / "after.h5", original=tmp_path / "before.h5")
    after = load_donor(tmp_path / "after.h5")
    assert found.left_out == len(fitted.donor.parts["decoder"].tensors) > 0
    assert after.part_names == ("backbone",) and found.kept == len(after.tensors)
    # All that the decoder can see has learnt; the top, which it cannot, is as it was absorbed.
    seen = {name for name in after.tensors if not name.startswith("top_")}
    assert seen <= set(found.changed)
    np.testing.assert_array_equal(
        after.tensors["top_conv/kernel"], disc_donor().tensors["top_conv/kernel"]
    )


def test_a_frozen_encoder_keeps_every_byte_statistics_included():
    options = dataclasses.replace(OPTIONS, frozen_backbone=True, epochs=2)
    fitted = fit(disc_donor(), disc_data(), objective=Segmentation(2, options))
    before, after = disc_donor().tensors, fitted.donor.tensors
    for name, values in before.items():
        assert values.tobytes() == after[name].tobytes(), name
    # Its decoder, which learns, is scored on the statistics of its present weights.
    model, images = fitted.model, disc_data().train_images
    norms = [one for one in model.layers if isinstance(one, keras.layers.BatchNormalization)]
    own = next(one for one in norms if one.name.startswith("decoder"))
    maps = keras.Model(model.input, own.input)(fitted.trainer.scaled(images)).numpy()
    np.testing.assert_allclose(own.moving_mean, maps.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(own.moving_variance, maps.var(axis=(0, 1, 2)), rtol=1e-2)
    first = attached(disc_donor(), decoder_of(fitted.donor), seed=1).parts["decoder"].tensors
    now = fitted.donor.parts["decoder"].tensors
    assert all((first[name] != now[name]).any() for name in now if name.endswith("kernel"))


def test_a_files_own_decoder_is_gone_on_with(fitted, trainer):
    donor = fitted.donor
    trainer.start(donor, 7, disc_data(), 10)
    again = trainer.trained(donor)
    assert again.fingerprint == donor.fingerprint
    # A fresh one begins with the shares of the classes.
    trainer.start(disc_donor(), 7, disc_data(), 10)
    bias = trainer.trained(disc_donor()).parts["decoder"].tensors["decoder_output/bias"]
    share = disc_data().train_masks.mean()
    assert np.exp(bias) == pytest.approx([1 - share, share], rel=1e-5)


def test_lovasz_takes_part_at_the_end_alone():
    import tensorflow as tf

    objective = Segmentation(2, OPTIONS, ObjectiveOptions("segment", losses=("lovasz",)))
    objective.begin(disc_data(), 90)
    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(size=(2, 4, 4, 2)).astype(np.float32))
    masks = tf.constant(rng.integers(0, 2, (2, 4, 4)).astype(np.uint8))

    def network(pixels, training):
        return logits

    from efn_compose.train.objectives.mask_losses import cross_entropy, lovasz

    pixels = tf.zeros((2, 4, 4, 3))
    for updates, expected in ((0.0, cross_entropy), (59.0, cross_entropy), (60.0, lovasz)):
        found = objective.loss(network, pixels, masks, tf.constant(updates))
        assert float(found) == pytest.approx(float(expected(logits, masks)))


def test_cutmix_gives_each_image_a_box_of_another_one_with_its_classes():
    import tensorflow as tf

    objective = Segmentation(2, dataclasses.replace(OPTIONS, cutmix=1.0))
    _, masks = discs(16)
    pixels = tf.constant(200.0 * masks[..., None].repeat(3, axis=-1), tf.float32)
    numbers, zero = tf.range(16, dtype=tf.int64), tf.constant(0, tf.int64)
    seen = Seen(pixels, tf.zeros(16), tf.constant(masks), numbers, zero, zero, zero + 3)
    found, targets = objective.prepare(seen)
    assert (targets.numpy() != masks).any(axis=(1, 2)).sum() > 8
    np.testing.assert_array_equal(found.numpy()[..., 0] / 200, targets)


def test_masks_that_cannot_be_learnt_are_refused():
    data = disc_data()
    objective = Segmentation(2, OPTIONS)
    empty = dataclasses.replace(data, train_masks=np.zeros_like(data.train_masks))
    strange = dataclasses.replace(
        data, validation_masks=data.validation_masks * 2, mask_names=("a", "b", "c")
    )
    without = dataclasses.replace(data, train_masks=None, validation_masks=None)
    for broken, words in ((empty, "all training masks are empty"), (strange, "validation mask has"),
                          (without, "training images have no masks")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            fit(disc_donor(), broken, objective=objective)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="loss or iou or dice"):
        Segmentation(2, TrainOptions(monitor="auc"))
    with pytest.raises(ConfigError, match="each once"):
        ObjectiveOptions("segment", losses=("dice", "hinge"))
    donor = attached(disc_donor(), DecoderSpec("classic"), seed=1)
    with pytest.raises(FurtherPartError, match="has a classic decoder"):
        Trainer(donor, Segmentation(2, OPTIONS, ObjectiveOptions("segment", decoder="mirror")))
