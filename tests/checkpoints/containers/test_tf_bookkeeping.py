"""What a training keeps in TensorFlow's checkpoints is recognised, left out and counted."""

import numpy as np
import pytest

from efn_compose.checkpoints.containers.containers import read_checkpoint

keras = pytest.importorskip("tf_keras")


@pytest.fixture(scope="module")
def trained():
    """A small Keras 2 model after one step of training, with all that this leaves behind."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.InputLayer((8, 8, 3)),
            layers.RandomFlip("horizontal"),
            layers.Normalization(name="normalization"),
            layers.Conv2D(4, 3, use_bias=False, name="stem_conv"),
            layers.BatchNormalization(name="stem_bn"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(3, name="predictions"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    model.fit(images, np.array([0, 1, 2, 0]), verbose=0)
    return model


def weights_of(model):
    named = {}
    for layer in model.layers:
        for variable in layer.weights:
            if "random" not in variable.name and variable.dtype != "int64":
                role = variable.name.rpartition("/")[2].partition(":")[0]
                named[f"{layer.name}/{role}"] = variable.numpy()
    return named


def saved(model, folder, kind):
    import tensorflow as tf

    if kind == "SavedModel":
        model.save(folder / "whole", save_format="tf")
        return folder / "whole"
    if kind == "ModelCheckpoint":
        model.save_weights(str(folder / "weights"))
        return folder / "weights"
    parts = {"model": model, "step": tf.Variable(7)}
    if kind == "CheckpointManager with its optimizer":
        parts["optimizer"] = model.optimizer
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(**parts), str(folder), 1)
    return manager.save()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "SavedModel",
        "ModelCheckpoint",
        "CheckpointManager",
        "CheckpointManager with its optimizer",
    ],
)
def test_only_the_networks_tensors_are_read(trained, tmp_path, kind):
    raw = read_checkpoint(saved(trained, tmp_path, kind))
    expected = weights_of(trained)
    assert {name for name in raw.tensors if not name.endswith("/count")} == set(expected)
    for name, values in expected.items():
        assert np.array_equal(raw.tensors[name].load(), values), name
    assert any("training state" in note for note in raw.notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizer", "opt"])
def test_weights_that_keras_3_lists_below_its_optimizer_are_read(tmp_path, name):
    import tensorflow as tf

    keras3 = pytest.importorskip("keras")
    layers = keras3.layers
    model = keras3.Sequential(
        [
            keras3.Input((8, 8, 3)),
            layers.Conv2D(4, 3, use_bias=False, name="stem_conv"),
            layers.BatchNormalization(name="stem_bn"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(3, name="predictions"),
        ]
    )
    model.compile("adamw", "mse")
    model.fit(np.ones((4, 8, 8, 3), np.float32), np.ones((4, 3), np.float32), verbose=0)
    parts = {
        "model": model,
        name: model.optimizer,
        "epoch": tf.Variable(1.0),
        "random": tf.random.Generator.from_seed(1),
        "mean_loss": keras.metrics.Mean(),
        "recall": keras.metrics.AUC(),
    }
    path = tf.train.CheckpointManager(tf.train.Checkpoint(**parts), str(tmp_path), 1).save()
    raw = read_checkpoint(path)
    expected = {
        weight.path: np.asarray(weight)
        for layer in model.layers
        for weight in layer.weights
        if "seed" not in weight.name
    }
    assert set(raw.tensors) == set(expected)
    for weight, values in expected.items():
        assert np.array_equal(raw.tensors[weight].load(), values), weight
