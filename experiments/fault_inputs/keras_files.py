"""Files of Keras 3 and tf_keras: saved after a training, with layers in front, with heads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fault_inputs.cases import Case, Truths, convert

LIBRARY = "facts about the library"
BOOKKEEPING = "a training's bookkeeping"
FRONT = "layers in front"
HEADS = "heads of the user's own"
SIDE = 64


def _library(name: str) -> Any:
    if name == "keras":
        import keras

        return keras
    import tf_keras

    return tf_keras


def _backbone(keras: Any, channels: int = 3, **options: Any) -> Any:
    options = {"weights": None, "pooling": "avg", **options}
    shape = (SIDE, SIDE, channels)
    return keras.applications.EfficientNetB0(include_top=False, input_shape=shape, **options)


def _features(keras: Any, backbone: Any, pixels: np.ndarray) -> np.ndarray:
    """Return a backbone's pooled features in float64: its configuration built again, its weights."""
    keras.backend.set_floatx("float64")
    try:
        config = backbone.get_config()
        for layer in config["layers"]:
            layer["config"].pop("dtype", None)
        again = type(backbone).from_config(config)
        again.set_weights(backbone.get_weights())
        found: np.ndarray = np.asarray(again(pixels, training=False))
        return found
    finally:
        keras.backend.set_floatx("float32")


def imagenet(folder: Path) -> Iterator[Case]:
    """What tf_keras builds with `weights="imagenet"`: its correction is no layer but a multiplication.

    The hosted file, which holds a deviation where a variance belongs, is imitated.
    """
    from tf_keras.src.applications import efficientnet

    keras = _library("tf_keras")
    hosted = keras.applications.EfficientNetB0(include_top=False, weights=None)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    for layer in hosted.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([mean, std, np.int64(0)])
    hosted.save_weights(folder / "hosted.h5")
    fetch = efficientnet.data_utils.get_file
    truths = Truths(folder, SIDE)
    try:
        efficientnet.data_utils.get_file = lambda *_, **__: str(folder / "hosted.h5")
        backbone = _backbone(keras, weights="imagenet")
    finally:
        efficientnet.data_utils.get_file = fetch
    # The multiplication divides by the root of the deviation, as Normalization does: together by it.
    keras.backend.set_floatx("float64")
    exact = _backbone(keras)
    keras.backend.set_floatx("float32")
    exact.set_weights(backbone.get_weights())
    for layer in exact.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.set_weights([mean, std**2, np.int64(0)])
            layer.finalize_state()
    truths.add("m", np.asarray(exact(truths.pixels, training=False)))
    truths.write()
    layers = [backbone, keras.layers.Dropout(0.2), keras.layers.Dense(5, activation="softmax")]
    model = keras.Sequential(layers)
    model.build((None, SIDE, SIDE, 3))
    for name in ("m.h5", "m.keras"):
        model.save(folder / name)
        yield convert(LIBRARY, name, truth="m")
    model.save_weights(folder / "m.weights.h5")
    yield convert(LIBRARY, "m.weights.h5", truth="m")


def scaling_lists(folder: Path) -> Iterator[Case]:
    """Weight files whose lists show another input scaling than the network's usual one."""
    keras = _library("keras")
    for name, asks in (("usual", True), ("caller_scales", False)):
        network = keras.applications.EfficientNetV2B0(
            include_top=False, weights=None, input_shape=(SIDE, SIDE, 3), include_preprocessing=asks
        )
        network.save_weights(folder / f"{name}.weights.h5")
        if asks:
            truths = Truths(folder, SIDE)
            maps = _features(keras, network, truths.pixels)
            truths.add("usual.weights.h5", maps.mean((1, 2)))
            truths.write()
        yield convert(LIBRARY, f"{name}.weights.h5")
    adapted = keras.layers.Normalization()
    adapted.adapt(np.random.default_rng(0).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32))
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), adapted, _backbone(keras)])
    model.save_weights(folder / "second_normalization.weights.h5")
    yield convert(LIBRARY, "second_normalization.weights.h5")


def after_training(folder: Path) -> Iterator[Case]:
    """What tf_keras leaves after `fit`: optimizer, metrics and random states are variables too."""
    import tensorflow as tf

    keras = _library("tf_keras")
    backbone = _backbone(keras)
    model = keras.Sequential(
        [
            keras.layers.InputLayer((SIDE, SIDE, 3)), keras.layers.RandomFlip("horizontal"), backbone,
            keras.layers.Dropout(0.2), keras.layers.Dense(5, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    truths = Truths(folder, SIDE)
    images = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.float32)
    model.fit(images, np.arange(4), verbose=0)
    truths.add("model", _features(keras, backbone, truths.pixels))
    model.save(folder / "whole.h5")
    model.save_weights(str(folder / "ckpt"))
    model.save(folder / "saved", save_format="tf")
    plain = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )
    maps = _features(keras, plain, truths.pixels)
    truths.add("plain", maps.mean((1, 2)))
    truths.write()
    (folder / "managed").mkdir()
    tf.train.Checkpoint(weights=plain.weights).write(str(folder / "bare"))
    kept = tf.train.Checkpoint(model=plain, step=tf.Variable(7))
    tf.train.CheckpointManager(kept, str(folder / "managed"), max_to_keep=1).save()
    for name, truth in (
        ("whole.h5", "model"), ("ckpt", "model"), ("saved", "model"), ("bare", "plain"),
        ("managed/ckpt-1", "plain"),
    ):  # fmt: skip
        yield convert(BOOKKEEPING, name, truth=truth)


def in_front(folder: Path) -> Iterator[Case]:
    """Augmentation that does nothing in inference, a convolution from grey to RGB, a grey stem."""
    keras = _library("keras")
    truths = Truths(folder, SIDE)
    augment = keras.layers.RandAugment(value_range=(0, 255))
    for name, channels, layers in (
        ("randaugment.keras", 3, [keras.Input((SIDE, SIDE, 3)), augment]),
        ("grey3.keras", 3, [keras.Input((SIDE, SIDE, 1)), keras.layers.Conv2D(3, 1)]),
        ("grey1.keras", 1, []),
    ):
        backbone = _backbone(keras, channels)
        if name == "randaugment.keras":
            truths.add(name, _features(keras, backbone, truths.pixels))
        head = keras.layers.Dense(5, activation="softmax")
        keras.Sequential([*layers, backbone, head]).save(folder / name)
        yield convert(FRONT, name)
    truths.write()


def heads(folder: Path) -> Iterator[Case]:
    """The head of the fine-tuning guide, and one with a hidden layer, as `.keras` and `.weights.h5`."""
    keras = _library("keras")
    truths = Truths(folder, SIDE)
    for name, layers in {
        "guide": [keras.layers.BatchNormalization(), keras.layers.Dropout(0.2)],
        "hidden": [keras.layers.Dense(64, activation="relu")],
    }.items():
        backbone = _backbone(keras)
        head = keras.layers.Dense(5, activation="softmax")
        model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), backbone, *layers, head])
        truths.add(name, _features(keras, backbone, truths.pixels))
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")
        for ending in ("keras", "weights.h5"):
            yield convert(HEADS, f"{name}.{ending}", truth=name)
    truths.write()
