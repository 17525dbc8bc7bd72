"""Trainings without statistics of batches: no image sees another, and what is written is plain Keras."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_donors import TINY, random_donor
from tiny_recipe import quarters, tiny_data
from traced_trainers import share_trainers

from efn_compose.cli import main
from efn_compose.donors import load_donor
from efn_compose.donors.group_norm import with_group_norm
from efn_compose.errors import ConfigError
from efn_compose.jobs.trainings.job import train
from efn_compose.models.standardised import StandardisedConv2D
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.train.objectives.adversarial import AdversarialClassification
from efn_compose.train.objectives.segmentation import Segmentation
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe import Classification, Trainer, fit

#: The two blocks of `TINY`, every width a multiple of eight.
EIGHTS = dataclasses.replace(
    TINY, blocks=(TINY.blocks[0], dataclasses.replace(TINY.blocks[1], out_channels=16))
)


def donor():
    return random_donor(EIGHTS, name="eights", classes=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training on batches of one image, by the command's function, and its trainer."""
    place = tmp_path_factory.mktemp("small")
    donor().save(place / "eights.h5")
    images, labels = quarters(24)
    np.savez(place / "images.npz", images=images, labels=labels)
    traced: dict[object, Trainer] = {}
    with pytest.MonkeyPatch.context() as patch:
        share_trainers(patch, traced)
        summary = train(
            overrides=[
                f"weights.file={place / 'eights.h5'}", f"data.source=npz:{place / 'images.npz'}",
                "data.size=16", "validation.folds=2", "validation.seeds=1", "train.epochs=1",
                "train.batch_size=1", "train.normalisation=standardised", "train.ema=0.5",
                "train.head_start=class_means", "executor.kind=serial", f"run.path={place / 'run'}",
            ],
            quiet=True,
        )  # fmt: skip
    (trainer,) = traced.values()
    return summary, trainer


@pytest.mark.slow
def test_written_weights_compute_what_the_network_computed(run):
    summary, trainer = run
    # The trainer still holds what was written last: the best epoch of the last fold.
    written = load_donor(sorted(summary.folder.rglob("best.h5"))[-1])
    assert isinstance(trainer.model.get_layer("stem_conv"), StandardisedConv2D)
    images = quarters(8, seed=7)[0]
    plain = written.build()
    assert {type(layer).__module__.partition(".")[0] for layer in plain.layers} == {"keras"}
    found = np.asarray(plain(written.preprocess(images)))
    np.testing.assert_allclose(found, trainer.predict(images), rtol=2e-6, atol=1e-6)
    kernel = written.tensors["top_conv/kernel"]
    np.testing.assert_allclose(kernel.sum(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose((kernel**2).sum(axis=(0, 1, 2)), 1, atol=1e-5)
    # Whoever trains on begins with what was written: standardised again, a kernel stays itself.
    trainer.start(written, 1, tiny_data(), 10)
    np.testing.assert_allclose(found, trainer.predict(images), rtol=2e-6, atol=1e-6)


@pytest.mark.slow
def test_plain_keras_opens_them(run, tmp_path):
    summary, _ = run
    written = load_donor(summary.weights)
    images = written.preprocess(quarters(4, seed=7)[0])
    expected = np.asarray(written.build()(images))
    written.build().save(tmp_path / "network.keras")
    opened = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(np.asarray(opened(images)), expected)
    backbone = written.build(include_top=False)
    features = np.asarray(backbone(images))
    for variable in backbone.variables:
        variable.assign(variable * 0)
    backbone.load_weights(summary.weights)
    np.testing.assert_array_equal(np.asarray(backbone(images)), features)


@pytest.mark.slow
def test_the_run_is_predicted_with(run, tmp_path):
    summary, _ = run
    np.savez(tmp_path / "new.npz", images=quarters(6, seed=9)[0])
    command = ["predict", str(summary.folder), "--data", f"npz:{tmp_path / 'new.npz'}", "--json"]
    assert main([*command, "-o", str(tmp_path / "table.csv")]) == 0
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 7


@pytest.mark.slow
def test_an_image_learns_alike_alone_and_among_others():
    """The gradient of a batch is the sum over its images, which BatchNorm would not give."""
    data = tiny_data()
    sums = {}
    for normalisation in ("own", "standardised", "frozen"):
        options = TrainOptions(normalisation=normalisation, dropout=0.0)
        objective = Classification(4, options)
        trainer = Trainer(donor(), objective)
        pixels = trainer.scaled(data.train_images[:4])
        targets = tf.constant(objective.targets(data)[:4])

        def gradients(chosen, trainer=trainer, objective=objective, pixels=pixels, targets=targets):
            with tf.GradientTape() as tape:
                loss = objective.loss(trainer.model, pixels[chosen], targets[chosen], 0.0)
            return tape.gradient(loss, [v.value for v in trainer.model.trainable_variables])

        whole = gradients(slice(0, 4))
        parts = [gradients(slice(n, n + 1)) for n in range(4)]
        gaps = [
            np.abs(all_.numpy() - sum(part.numpy() for part in each)).max()
            for all_, *each in zip(whole, *parts, strict=True)
        ]
        sums[normalisation] = max(gaps) / max(np.abs(one.numpy()).max() for one in whole)
    assert sums["standardised"] < 1e-5
    assert sums["frozen"] < 1e-5
    assert sums["own"] > 0.1


@pytest.mark.slow
def test_frozen_batchnorm_stays_as_it_was_absorbed_and_the_rest_learns():
    data, start = tiny_data(), donor()
    options = TrainOptions(
        normalisation="frozen", epochs=1, batch_size=2, absorb="all", head_start="class_means"
    )
    expected = absorb_statistics(start, data.train_images, "all")
    found = fit(start, data, options=options, seed=1).donor
    norms = [name for name in expected.tensors if "bn/" in name]
    assert len(norms) >= 4 * 5
    for name in norms:
        np.testing.assert_array_equal(found.tensors[name], expected.tensors[name], name)
    kernels = [name for name in expected.tensors if name.endswith("kernel")]
    assert all((found.tensors[name] != expected.tensors[name]).any() for name in kernels)
    assert found.spec == start.spec  # BatchNorm still: they can be composed and nested


@pytest.mark.slow
def test_the_gradient_of_a_standardised_kernel_is_that_of_differences():
    layer = StandardisedConv2D(8, 1, use_bias=False, dtype="float64")
    rng = np.random.default_rng(2)
    image = tf.constant(rng.normal(size=(1, 3, 3, 8)))
    layer.build(image.shape)
    start, way = rng.normal(size=(2, 1, 1, 8, 8))

    def loss(kernel):
        layer.kernel.assign(kernel)
        return float(tf.reduce_sum(tf.sin(layer(image))))

    layer.kernel.assign(start)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(tf.sin(layer(image)))
    slope = float(tf.reduce_sum(tape.gradient(value, layer.kernel.value) * way))
    step = 1e-3
    differences = (loss(start + step * way) - loss(start - step * way)) / (2 * step)
    assert slope == pytest.approx(differences, rel=1e-2)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="normalisation = group takes none of them"):
        TrainOptions(normalisation="group", advprop=1.0)
    with pytest.raises(ConfigError, match="frozen_backbone keeps all weights"):
        TrainOptions(normalisation="group", frozen_backbone=True)
    with pytest.raises(ConfigError, match="warm_up_epochs trains BatchNorm"):
        TrainOptions(normalisation="frozen", warm_up_epochs=1)
    with pytest.raises(ConfigError, match="a decoder begins without any"):
        Segmentation(2, TrainOptions(normalisation="frozen", monitor="iou"))
    objective = AdversarialClassification(4, TrainOptions(advprop=1.0))
    with pytest.raises(ConfigError, match="advprop needs BatchNorm"):
        objective.build(with_group_norm(donor()))
