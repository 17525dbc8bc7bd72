"""Files written for keras.applications and tf_keras.applications, loaded by those libraries."""

import dataclasses
from typing import Any

import h5py
import numpy as np
import pytest
from keras_applications_networks import library as modules_of
from keras_oracles import pixels, relative_error
from random_donors import random_donor

from converters import convert
from converters.writing.keras_export import class_name, export_keras, padding_error
from efn_compose import export
from efn_compose.arch import PREPROCESSINGS, VARIANTS
from efn_compose.errors import ConfigError, ConversionError

pytestmark = pytest.mark.parity
SIDE = 64
TARGETS = ("keras-applications", "tf-keras")
# Of V2-S as few random blocks as there may be: many multiply what float32 rounds.
V1, V2, V2_S = "b-w0.1-d0.3", "v2-b-w0.1-d0.3", "v2-s-w0.25-d0.1"


def evaluate(expression: str, **more: Any) -> Any:
    """Build the model that an export's own expression names, at a small input size."""
    import keras
    import keras.src.applications.efficientnet
    import keras.src.applications.efficientnet_v2
    import tf_keras
    import tf_keras.src.applications.efficientnet
    import tf_keras.src.applications.efficientnet_v2

    arguments = "".join(f", {name}={value!r}" for name, value in more.items())
    # nosemgrep: the expression is our own, and showing that it runs is the point.
    return eval(f"{expression[:-1]}{arguments})", {"keras": keras, "tf_keras": tf_keras})


@pytest.mark.parametrize("variant", [V1, V2, V2_S])
def test_the_library_computes_our_logits_from_pixels(tmp_path, variant):
    # An epsilon of 1e-5 must be folded, and an unusual scaling must arrive.
    options = {"preprocessing": PREPROCESSINGS["lite"]} if variant == V1 else {}
    donor = random_donor(variant, bn_epsilon=1e-5, **options)
    ours = donor.build(input_shape=(SIDE, SIDE, 3))(donor.preprocess(pixels()), training=False)
    for target in TARGETS:
        export = export_keras(donor, tmp_path / "net.h5", target)
        assert export.folded == ("BatchNorm epsilon 1e-05 to 0.001, into gamma",)
        model = evaluate(export.load, input_shape=(SIDE, SIDE, 3))
        assert relative_error(model(pixels(), training=False), ours) < 1e-4, target


def test_a_headless_donor_becomes_a_headless_file(tmp_path):
    donor = random_donor(V1, classes=None)
    ours = donor.build(input_shape=(SIDE, SIDE, 3), include_top=False)
    features = ours(donor.preprocess(pixels()), training=False)
    for target in TARGETS:
        export = export_keras(donor, tmp_path / "net.h5", target)
        assert "include_top=False" in export.load
        model = evaluate(export.load, input_shape=(SIDE, SIDE, 3))
        assert relative_error(model(pixels(), training=False), features) < 1e-4, target


def test_v2_with_another_scaling_says_who_scales(tmp_path):
    donor = random_donor(V2, preprocessing=PREPROCESSINGS["inception"])
    export = export_keras(donor, tmp_path / "net.h5")
    assert "include_preprocessing=False" in export.load
    assert "127.5" in export.input_note
    model = evaluate(export.load, input_shape=(SIDE, SIDE, 3))
    inputs = donor.preprocess(pixels())
    ours = donor.build(input_shape=(SIDE, SIDE, 3))(inputs, training=False)
    assert relative_error(model(inputs, training=False), ours) < 1e-4


def test_symmetric_padding_is_refused_or_measured(tmp_path):
    donor = random_donor(V1, padding="symmetric")
    path = tmp_path / "net.h5"
    with pytest.raises(ConversionError, match="accept-approximate"):
        export_keras(donor, path)
    assert list(tmp_path.iterdir()) == []
    export = export_keras(donor, path, accept_approximate=True)
    assert f"{export.relative_error:.3g}" in export.approximations[0]
    # The figure is of the size of what the library really does at that size.
    model = evaluate(export.load, input_shape=(224, 224, 3))
    ours = donor.build(input_shape=(224, 224, 3))(donor.preprocess(pixels(224, 224)))
    real = relative_error(model(pixels(224, 224), training=False), ours)
    assert 0.1 * real < export.relative_error < 10 * real
    assert export.relative_error > 1e-3
    # Where all stage inputs are odd, both paddings are one.
    assert padding_error(donor, side=225) < 1e-5


def test_what_the_library_lacks_is_refused_with_all_reasons(tmp_path):
    with pytest.raises(ConversionError) as error:
        export_keras(random_donor("lite-w0.25-d0.3"), tmp_path / "net.h5")
    assert "network" in str(error.value)
    assert "relu6" in str(error.value)
    with pytest.raises(ConversionError, match="network"):
        donor = random_donor(V1)
        export_keras(
            donor.replace(spec=dataclasses.replace(donor.spec, variant="custom")),
            tmp_path / "net.h5",
        )
    for name in ("net.weights.h5", "net.keras"):
        with pytest.raises(ConfigError, match=r"\.h5"):
            export_keras(random_donor(V1), tmp_path / name)
    with pytest.raises(ConfigError, match="Known"):
        export_keras(random_donor(V1), tmp_path / "net.h5", "theano")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variant", [V1, V2, V2_S])
def test_round_trip_is_exact_bit_for_bit(tmp_path, variant):
    donor = random_donor(variant)
    for target in TARGETS:
        export_keras(donor, tmp_path / "net.h5", target)
        back = convert(tmp_path / "net.h5").donor
        assert back.spec.same_tensors_as(donor.spec) and back.spec.family == donor.spec.family
        for name, values in donor.tensors.items():
            np.testing.assert_array_equal(back.tensors[name], values)
        ours, theirs = donor.conventions.preprocessing, back.conventions.preprocessing
        assert theirs.mean == pytest.approx(ours.mean, rel=1e-6)
        assert theirs.std == pytest.approx(ours.std, rel=1e-6)


def test_the_variance_slot_holds_the_square_of_the_deviation(tmp_path):
    export_keras(random_donor(V1), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5") as file:
        variance = file["normalization/normalization/variance"][()]
    assert variance == pytest.approx(np.square([0.229, 0.224, 0.225]), rel=1e-6)


@pytest.mark.parametrize(
    ("target", "name"), [("keras-applications", "a.h5"), ("safetensors", "a.safetensors")]
)
def test_the_public_export_answers_with_one_kind_of_report(tmp_path, target, name):
    report = export(random_donor(V1), to=target, path=tmp_path / name)
    fields = report.to_json()
    assert fields["path"] == str(tmp_path / name)
    assert fields["target"] == target
    safe_open = pytest.importorskip("safetensors").safe_open
    opened = h5py.File(tmp_path / name) if name.endswith("h5") else safe_open(tmp_path / name, "np")
    with opened as file:
        stored = []
        if name.endswith("h5"):
            file.visititems(
                lambda key, item: stored.append(key) if hasattr(item, "shape") else None
            )
        else:
            stored += file.keys()
    assert fields["tensors"] == len(stored)


def test_class_names_exist_in_the_library():
    import keras

    named = {variant: class_name(variant) for variant in VARIANTS}
    assert all(hasattr(keras.applications, name) for name in named.values() if name)
    assert {v for v, name in named.items() if name is None} >= {"l2", "lite0", "es", "v2-xl", "b8"}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["b-w0.1-d0.3", "b-w0.45-d0.1", "b-w1.3-d0.1"])
def test_our_own_file_of_any_width_opens_in_the_library_s_network(tmp_path, variant):
    donor = random_donor(variant, images=pixels(count=8), preprocessing=PREPROCESSINGS["lite"])
    donor.save(tmp_path / "magic.h5")
    ours = donor.build(input_shape=(SIDE, SIDE, 3), include_top=False)
    features = ours(donor.preprocess(pixels()), training=False)
    for name in ("keras", "tf_keras"):
        network = modules_of(name)[1].EfficientNet
        spec, file = donor.spec, str(tmp_path / "magic.h5")
        shape = (SIDE, SIDE, 3)
        model = network(
            spec.width, spec.depth, SIDE, include_top=False, weights=file, input_shape=shape
        )
        assert relative_error(model(pixels(), training=False), features) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["b0", "v2-b0"])
def test_our_own_weight_file_opens_in_plain_keras(tmp_path, variant):
    import keras
    import tf_keras

    donor = random_donor(variant, images=pixels(count=8))
    donor.save(tmp_path / "magic.h5")
    ours = donor.build(input_shape=(SIDE, SIDE, 3), include_top=False)
    features = ours(donor.preprocess(pixels()), training=False)
    for library in (keras, tf_keras):
        model = getattr(library.applications, class_name(variant))(
            include_top=False, weights=str(tmp_path / "magic.h5"), input_shape=(SIDE, SIDE, 3)
        )
        # The largest of 15,360 values strays further than the largest of a few logits.
        assert relative_error(model(pixels(), training=False), features) < 1e-3
