"""What the search's engine and the trainings' engine share, one against the other and against Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_recipe import quarters, tiny_data, tiny_donor

from efn_compose.numerics.class_means import class_mean_head
from efn_compose.statistics.recalibrate import recalibrate
from efn_compose.train.engine.adam import FusedAdam
from efn_compose.train.engine.batches import even_batches
from efn_compose.train.engine.fresh import seed_masks
from efn_compose.train.recipe import Classification, Trainer, TrainOptions
from efn_compose.train.resident.resident import ResidentModel, TrainSettings, batches


@pytest.fixture(scope="module")
def resident():
    donor = tiny_donor()
    return ResidentModel(donor.spec, donor.conventions, 4, TrainSettings(dropout=0.0))


@pytest.mark.slow
def test_both_draw_the_same_classifier_from_the_same_seed(resident):
    trainer = Trainer(tiny_donor(), Classification(4, TrainOptions()))
    for seed in (1, 2):
        resident.load(tiny_donor().tensors, seed)
        trainer.start(tiny_donor(), seed, tiny_data(), 1)
        one = resident.tensors(with_head=True)["predictions/kernel"]
        other = trainer.objective.kept(trainer.model)["predictions/kernel"]
        np.testing.assert_array_equal(one, other)
    assert np.abs(one).max() <= np.sqrt(6 / (32 + 4))


@pytest.mark.slow
def test_both_begin_at_the_class_means_of_features_that_training_sees(resident):
    donor, (images, labels) = tiny_donor(), quarters()
    model = donor.build(include_top=False)
    features = np.asarray(model(donor.preprocess(images), training=True)).mean(axis=(1, 2))
    wanted = class_mean_head(features, np.eye(4)[labels])
    trainer = Trainer(donor, Classification(4, TrainOptions(head_start="class_means")))
    resident.load(donor.tensors, 1)
    resident.start_head(tf.constant(images), labels, even_batches(96, 96))
    found = resident.tensors(with_head=True)
    heads = []
    for seed in (1, 2):
        trainer.start(donor, seed, tiny_data(), 1)
        heads.append(trainer.objective.kept(trainer.model))
    for role in ("kernel", "bias"):
        name, values = f"predictions/{role}", getattr(wanted, role)
        near = {"rtol": 1e-3, "atol": 1e-3 * float(np.abs(values).max())}
        np.testing.assert_allclose(found[name], values, **near)
        np.testing.assert_allclose(heads[0][name], values, **near)
        np.testing.assert_array_equal(heads[0][name], heads[1][name])
    # The pass leaves nothing behind, and a classifier that fits is taken over.
    for name, values in trainer.trained(donor).without_head().tensors.items():
        np.testing.assert_array_equal(values, donor.tensors[name])
    trainer.start(trainer.trained(donor.replace(tensors=donor.tensors)), 1, tiny_data(), 1)
    np.testing.assert_array_equal(
        trainer.objective.kept(trainer.model)["predictions/kernel"], heads[0]["predictions/kernel"]
    )


@pytest.mark.slow
def test_both_take_the_same_statistics_of_one_batch(resident):
    donor, images = tiny_donor(), quarters(40)[0]
    resident.load(donor.tensors, 1)
    resident.recalibrate(tf.constant(images), batches(40, 40))
    model = donor.build(include_top=False)
    recalibrate(model, donor.preprocess(images), batch_size=40)
    found = resident.tensors()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for role in ("moving_mean", "moving_variance"):
                wanted = np.asarray(getattr(layer, role))
                np.testing.assert_allclose(
                    found[f"{layer.name}/{role}"], wanted, rtol=2e-4, atol=1e-5
                )


def test_the_traced_pass_counts_each_batch_alike(resident):
    donor, images = tiny_donor(), quarters(48)[0]
    resident.load(donor.tensors, 1)
    means = []
    for part in np.split(np.arange(48, dtype=np.int32), 3):
        resident.recalibrate(tf.constant(images), part[None])
        means.append(resident.tensors()["stem_bn/moving_variance"])
    resident.recalibrate(tf.constant(images), np.arange(48, dtype=np.int32).reshape(3, 16))
    found = resident.tensors()["stem_bn/moving_variance"]
    np.testing.assert_allclose(found, np.mean(means, axis=0), rtol=1e-5)


@pytest.mark.slow
def test_the_searchs_adam_is_keras_but_for_rounding():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(50,)).astype(np.float32)
    ours, theirs = tf.Variable(start), keras.Variable(start)
    fused, plain = FusedAdam([ours]), keras.optimizers.Adam()
    for step in range(200):
        gradient = tf.constant(rng.normal(size=50) * 10 ** rng.uniform(-3, 2), tf.float32)
        plain.learning_rate = rate = 1e-3 * (1 + step % 5)
        fused.apply([gradient], tf.constant(rate))
        plain.apply([gradient], [theirs])
    assert np.abs(start - theirs.numpy()).max() > 0.05
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_masks_of_neighbouring_layers_differ_where_they_are_spaced():
    image = keras.Input((4,))
    x = keras.layers.Dropout(0.5)(keras.layers.Dropout(0.5)(image))
    model = keras.Model(image, x)
    for spacing, count in ((0, 1), (7919, 2)):
        seed_masks(model, 5, spacing)
        states = [layer.seed_generator.state.numpy().tolist() for layer in model.layers[1:]]
        assert len({tuple(state) for state in states}) == count
    assert states[0] == [5 + 7919, 0]
