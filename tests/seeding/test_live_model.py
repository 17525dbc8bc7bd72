"""Seeding: each library's own network, given our weights, computes what the donor computes."""

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
from keras_oracles import pixels, relative_error
from random_donors import random_donor

from efn_compose import seed
from efn_compose.arch import PREPROCESSINGS, arch_spec, default_conventions
from efn_compose.donors import Donor
from efn_compose.errors import NestingError, SeedingError
from efn_compose.models import build_model
from efn_compose.models.stepwise import StepwiseNetwork

SIDE = 64
V1, V2 = "b-w0.1-d0.3", "v2-b-w0.1-d0.3"


@pytest.fixture(scope="module")
def donor() -> Donor:
    return random_donor(V1, classes=None)


@pytest.fixture(scope="module")
def own_model() -> Any:
    spec = arch_spec(V1)
    return build_model(spec, default_conventions(spec), input_shape=(SIDE, SIDE, 3), classes=4)


def library_model(library: str, **options: Any) -> Any:
    from keras_applications_networks import build

    return build(library, V1, include_top=False, **options)


@cache
def v2_donor() -> Donor:
    return random_donor(V2, classes=None)


def features(donor: Donor, images: np.ndarray) -> np.ndarray:
    """Return the donor's pooled features, by the eager walk."""
    return np.asarray(StepwiseNetwork.of(donor).run(donor.preprocess(images)))


def pooled(feature_map: Any) -> np.ndarray:
    return np.asarray(feature_map, np.float64).mean(axis=(1, 2))


def values(model: Any) -> list[np.ndarray]:
    return [np.asarray(weight).copy() for weight in model.weights]


@pytest.mark.parity
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_applications_get_their_normalization_set_and_compute_the_donor(donor, library):
    model = library_model(library)
    before = np.asarray(model(pixels(), training=False))
    report = seed(model, donor)
    after = pooled(model(pixels(), training=False))
    assert relative_error(after, features(donor, pixels())) < 1e-4
    assert not np.allclose(pooled(before), after)
    assert report.variant == V1 and report.library.startswith("keras.applications")
    assert "RGB pixels 0-255" in str(report)
    # Traced functions must not keep the old constants.
    predicted = pooled(model.predict(pixels(), verbose=0))
    assert relative_error(predicted, after) < 1e-4


@pytest.mark.parity
def test_applications_that_rescale_once_more_are_set_so_that_the_whole_chain_fits(donor):
    import keras

    model = library_model("keras")
    kinds = [type(layer).__name__ for layer in model.layers]
    place = kinds.index("Normalization")
    inputs = keras.Input((SIDE, SIDE, 3))
    x = inputs
    for layer in model.layers[1 : place + 1]:
        x = layer(x)
    # What weights="imagenet" inserts behind the Normalization, with other numbers.
    x = keras.layers.Rescaling([2.0, 3.0, 4.0], offset=[0.1, 0.2, 0.3])(x)
    stem = model.get_layer("stem_conv_pad")
    rest = keras.Model(stem.input, model.output, name="rest")
    whole = keras.Model(inputs, rest(x))
    seed(whole, donor)
    after = pooled(whole(pixels(), training=False))
    assert relative_error(after, features(donor, pixels())) < 1e-4


@pytest.mark.parity
def test_v2_with_its_own_scaling_is_checked_or_folded():
    import keras
    from keras_applications_networks import build

    donor = v2_donor()
    rules = dataclasses.replace(donor.conventions, preprocessing=PREPROCESSINGS["imagenet"])
    donor = donor.replace(conventions=rules)
    plain = build("keras", V2, include_top=False, include_preprocessing=False)
    report = seed(plain, donor)
    assert "scale it yourself: (pixels - [123.675" in report.input_note
    after = pooled(plain(donor.preprocess(pixels()), training=False))
    assert relative_error(after, features(donor, pixels())) < 1e-4
    model = build("keras", V2, include_top=False, name="efficientnetv2-s")
    before = values(model)
    with pytest.raises(SeedingError, match=r"≠ input: .*scaling='fold'"):
        seed(model, donor)
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(old, new)
    report = seed(model, donor, scaling="fold")
    assert report.folded and report.approximations

    def stem(network: Any, inputs: np.ndarray) -> np.ndarray:
        body = keras.Model(network.input, network.get_layer("stem_bn").output)
        return np.asarray(body(inputs, training=False))[:, :-1, :-1]

    # Exact but for the last row and column, where "same" padding adds zeros.
    wanted = stem(plain, donor.preprocess(pixels()))
    assert relative_error(stem(model, pixels()), wanted) < 1e-4
    unit = donor.replace(conventions=dataclasses.replace(rules, preprocessing=PREPROCESSINGS["v2"]))
    report = seed(model, unit)
    assert not report.approximations
    after = pooled(model(pixels(), training=False))
    assert relative_error(after, features(unit, pixels())) < 1e-4


@pytest.mark.parity
def test_keras_cv_composite_blocks():
    pytest.importorskip("keras_cv")
    from keras_cv_networks import backbone

    model = backbone("v2")
    donor = v2_donor()
    rules = dataclasses.replace(donor.conventions, preprocessing=PREPROCESSINGS["unit"])
    donor = donor.replace(conventions=rules)
    report = seed(model, donor)
    assert report.library == "keras-cv"
    after = pooled(model(pixels(), training=False))
    assert relative_error(after, features(donor, pixels())) < 1e-4


@pytest.mark.parity
def test_keras_cv_v1_is_refused_with_the_reason():
    pytest.importorskip("keras_cv")
    from keras_cv_networks import backbone

    with pytest.raises(SeedingError, match="activation once more after every projection"):
        seed(backbone("v1"), random_donor(V1, classes=None))


@pytest.mark.parity
def test_keras_hub_gets_its_epsilon_and_wants_its_padding():
    pytest.importorskip("keras_hub")
    from keras_hub_networks import backbone

    model = backbone()
    donor = random_donor(V1, classes=None, padding="symmetric", bn_epsilon=1e-3)
    report = seed(model, donor)
    assert report.library == "keras-hub" and "0.001 to 1e-05" in report.folded[0]
    after = pooled(model(donor.preprocess(pixels()), training=False))
    assert relative_error(after, features(donor, pixels())) < 1e-4
    same = donor.replace(conventions=dataclasses.replace(donor.conventions, padding="same"))
    with pytest.raises(SeedingError, match="≠ padding: the model pads 'symmetric'"):
        seed(model, same)
    report = seed(model, same, accept_approximate=True)
    assert "padding" in report.approximations[0]


@pytest.mark.parity
def test_qubvel(donor):
    pytest.importorskip("efficientnet")
    from efficientnet import inject_tfkeras_modules
    from efficientnet.model import EfficientNet

    build = inject_tfkeras_modules(EfficientNet)
    model = build(
        0.1, 0.3, SIDE, weights=None, input_shape=(SIDE, SIDE, 3), include_top=False
    )  # fmt: skip
    report = seed(model, donor)
    assert report.library == "qubvel/efficientnet"
    after = pooled(model(donor.preprocess(pixels()), training=False))
    assert relative_error(after, features(donor, pixels())) < 1e-4


@pytest.mark.slow
def test_ours_inside_a_larger_model_leaves_the_rest_alone(donor, own_model, tmp_path):
    import keras

    donor.save(tmp_path / "efn_magic_weights.h5")
    backbone = keras.Model(own_model.input, own_model.get_layer("top_activation").output)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            keras.layers.RandomFlip(),
            keras.layers.Rescaling(1 / 128, offset=-1.0),
            backbone,
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(4, name="diagnosis"),
        ]
    )
    head = np.asarray(model.get_layer("diagnosis").kernel).copy()
    with pytest.raises(SeedingError, match="≠ input"):
        seed(model, tmp_path / "efn_magic_weights.h5")
    rules = dataclasses.replace(donor.conventions, preprocessing=PREPROCESSINGS["v2"])
    donor.replace(conventions=rules).save(tmp_path / "efn_magic_weights.h5")
    backbone.get_layer("stage2_block1_expand_conv").trainable = False
    report = seed(model, tmp_path / "efn_magic_weights.h5")
    assert report.left_alone == ("diagnosis",)
    assert report.frozen == ("stage2_block1_expand_conv",)
    assert "frozen, will not be trained: stage2_block1_expand_conv" in str(report)
    np.testing.assert_array_equal(np.asarray(model.get_layer("diagnosis").kernel), head)
    wanted = features(donor.replace(conventions=rules), pixels())
    after = pooled(backbone(pixels() / 128 - 1, training=False))
    assert relative_error(after, wanted) < 1e-4
    backbone.get_layer("stage2_block1_expand_conv").trainable = True


@pytest.mark.slow
def test_a_larger_variant_receives_the_weights_nested(donor):
    spec = arch_spec("b-w0.2-d0.6")
    large = build_model(spec, default_conventions(spec), input_shape=(SIDE, SIDE, 3), classes=3)
    report = seed(large, donor)
    assert (report.variant, report.source_variant) == (spec.variant, V1)
    assert "(nested from" in str(report)
    import keras

    body = keras.Model(large.input, large.get_layer("pool").output)
    after = np.asarray(body(donor.preprocess(pixels()), training=False))
    wanted = features(donor, pixels())
    # The donor's channels lead; new ones follow.
    assert relative_error(after[:, : wanted.shape[1]], wanted) < 1e-4


@pytest.mark.slow
def test_two_networks_in_one_model_are_seeded_by_prefix(donor, own_model):
    import keras

    def renamed(prefix: str) -> Any:
        def clone(layer: Any) -> Any:
            return type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})

        image = keras.Input((SIDE, SIDE, 3), name=f"{prefix}image")
        return keras.models.clone_model(own_model, input_tensors=image, clone_function=clone)

    one, two = renamed("left_"), renamed("right_")
    layers = [model.outputs[0] for model in (one, two)]
    both = keras.Model([one.input, two.input], layers)
    with pytest.raises(SeedingError, match=r"several networks.*left_, right_"):
        seed(both, donor)
    untouched = values(two)
    report = seed(both, donor, within="left_", scaling="ignore")
    assert report.variant == V1
    for old, new in zip(untouched, values(two), strict=True):
        np.testing.assert_array_equal(old, new)
    body = keras.Model(one.input, one.get_layer("left_pool").output)
    after = np.asarray(body(donor.preprocess(pixels()), training=False))
    assert relative_error(after, features(donor, pixels())) < 1e-4


def test_the_classifier_is_loaded_only_when_asked_for(own_model):
    donor = random_donor(V1, classes=4, seed=3)
    kernel = own_model.get_layer("predictions").kernel
    before = np.asarray(kernel).copy()
    report = seed(own_model, donor)
    assert "predictions" in report.left_alone
    np.testing.assert_array_equal(np.asarray(kernel), before)
    assert seed(own_model, donor, head=True).head
    np.testing.assert_array_equal(np.asarray(kernel), donor.tensors["predictions/kernel"])
    with pytest.raises(SeedingError, match="no classifier"):
        seed(own_model, donor.without_head(), head=True)
    with pytest.raises(SeedingError, match="≠ shape: predictions/kernel"):
        seed(own_model, random_donor(V1, classes=9), head=True)


def test_what_does_not_fit_is_refused_whole(donor, own_model):
    import keras

    before = values(own_model)
    with pytest.raises(NestingError):
        seed(own_model, random_donor("b-w0.2-d0.3", classes=None))
    with pytest.raises(SeedingError, match=r"≠ activation(.|\n)*≠ padding"):
        seed(own_model, random_donor(V1, classes=None, activation="relu6", padding="symmetric"))
    for old, new in zip(before, values(own_model), strict=True):
        np.testing.assert_array_equal(old, new)
    plain = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    with pytest.raises(SeedingError, match="holds no EfficientNet"):
        seed(plain, donor)
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    with pytest.raises(SeedingError, match="no weights yet"):
        seed(unbuilt, donor)
