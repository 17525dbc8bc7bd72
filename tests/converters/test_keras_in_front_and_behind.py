"""Layers that users put before and behind Keras backbones: honoured, left out and said, or refused."""

import importlib

import numpy as np
import pytest

from converters import convert
from efn_compose.errors import (
    AmbiguousCheckpointError,
    ConversionError,
    UnreadableCheckpointError,
)
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

pytestmark = pytest.mark.parity

SIDE = 64
#: As narrow and shallow as V1 gets: what is read is around the network.
VARIANT = "b-w0.1-d0.1"


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def library(request):
    return pytest.importorskip(request.param)


def network_of(library, **options):
    """Return a library's V1 of seven blocks, named as its B0 is, without a top."""
    module = importlib.import_module(f"{library.__name__}.src.applications.efficientnet")
    if library.__name__ == "keras":
        options |= {"name": "efficientnetb0", "weights_name": "b0"}
    else:
        options |= {"model_name": "efficientnetb0"}
    return module.EfficientNet(0.1, 0.1, SIDE, include_top=False, **options)


@pytest.fixture(scope="module")
def backbone(library):
    """V1 with statistics as after a training, pooled."""
    model = network_of(library, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg")
    generator = np.random.default_rng(1)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            width = layer.gamma.shape[0]
            layer.set_weights(
                [
                    generator.uniform(0.6, 1.4, width),
                    generator.normal(0, 0.2, width),
                    generator.normal(0, 0.1, width),
                    generator.uniform(0.5, 1.5, width),
                ]
            )
    return model


def same_features(donor, backbone, pixels, scaled):
    """Return whether a donor's features of raw pixels are the backbone's of scaled ones."""
    theirs = np.asarray(backbone(scaled, training=False), np.float64)
    source = WeightSource.of(donor.without_head())
    ours = NumpyNetwork(source).run(donor.preprocess(pixels.astype(np.float64)))
    return np.abs(ours - theirs).max() / theirs.std() < 2e-5


def test_arithmetic_in_front_is_part_of_the_scaling(tmp_path, library, backbone, pixels):
    inputs = library.Input((SIDE, SIDE, 3))
    outputs = backbone((inputs * 2.0 - np.float32([3.0, 4.0, 5.0])) / 1.5 + 7.0)
    library.Model(inputs, outputs).save(tmp_path / "m.keras")
    donor = convert(tmp_path / "m.keras").donor
    scaled = (pixels * 2 - np.float32([3, 4, 5])) / 1.5 + 7
    assert same_features(donor, backbone, pixels, scaled)


def test_a_constant_that_comes_first_is_no_scaling(tmp_path, library, backbone):
    inputs = library.Input((SIDE, SIDE, 3))
    library.Model(inputs, backbone(255.0 - inputs)).save(tmp_path / "m.keras")
    with pytest.raises(AmbiguousCheckpointError, match="no known input scaling"):
        convert(tmp_path / "m.keras")


def test_training_only_augmentation_in_front_changes_nothing(tmp_path, backbone, library, pixels):
    layers = library.layers
    in_front = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]
    if hasattr(layers, "RandAugment"):
        in_front.append(layers.RandAugment(value_range=(0, 255)))
    model = library.Sequential([library.Input((SIDE, SIDE, 3)), *in_front, backbone])
    model.save(tmp_path / "m.keras")
    assert same_features(convert(tmp_path / "m.keras").donor, backbone, pixels, pixels)


@pytest.mark.parametrize("arch", [None, VARIANT])
def test_a_layer_with_weights_in_front_is_called_what_it_is(tmp_path, library, backbone, arch):
    model = library.Sequential(
        [library.Input((SIDE, SIDE, 1)), library.layers.Conv2D(3, 1, name="to_rgb"), backbone]
    )
    model.save(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match=r"Conv2D 'to_rgb'"):
        convert(tmp_path / "m.keras", arch=arch)


def test_heads_in_weight_files_without_a_configuration_are_left_out(
    tmp_path, library, backbone, pixels
):
    layers = library.layers
    model = library.Sequential(
        [
            library.Input((SIDE, SIDE, 3)),
            backbone,
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(5),
        ]
    )
    model.save_weights(tmp_path / "m.weights.h5")
    conversion = convert(tmp_path / "m.weights.h5")
    assert conversion.donor.classes is None
    assert sum("user's own" in reason for _, reason in conversion.report.mapping.ignored) == 4
    assert same_features(conversion.donor, backbone, pixels, pixels)


def test_a_second_normalization_is_followed_or_asked_about(tmp_path, library, backbone, pixels):
    mean, variance = np.float32([10, 20, 30]), np.float32([4, 9, 16])
    front = library.layers.Normalization(mean=mean, variance=variance)
    adapted = library.layers.Normalization()
    adapted.adapt(pixels)
    for number, layer in enumerate((front, adapted)):
        model = library.Sequential([library.Input((SIDE, SIDE, 3)), layer, backbone])
        model.save(tmp_path / f"{number}.keras")
        scaled = np.asarray(layer(pixels))
        assert same_features(convert(tmp_path / f"{number}.keras").donor, backbone, pixels, scaled)
        model.save_weights(tmp_path / f"{number}.weights.h5")
        # Two layers of one name are refused before anybody asks what they do.
        refusals = (AmbiguousCheckpointError, UnreadableCheckpointError)
        with pytest.raises(refusals, match=r"lists 2 Normalization layers|two tensors are called"):
            convert(tmp_path / f"{number}.weights.h5")


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_one_model_in_three_files_gives_one_answer(tmp_path, library, backbone, suffix, pixels):
    path = tmp_path / f"m{suffix}"
    (backbone.save_weights if suffix == ".weights.h5" else backbone.save)(path)
    assert same_features(convert(path).donor, backbone, pixels, pixels)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_the_hosted_files_correction_is_read_from_the_file(tmp_path, hosted, suffix, pixels):
    path = tmp_path / f"m{suffix}"
    (hosted.save_weights if suffix == ".weights.h5" else hosted.save)(path)
    donor = convert(path).donor
    assert same_features(donor, hosted, pixels, pixels)
    assert donor.conventions.preprocessing.std == pytest.approx((58.395, 57.12, 57.375), rel=1e-5)


def test_an_older_weights_file_lists_the_correction_too(tmp_path, hosted, library, pixels):
    if library.__name__ == "keras":
        pytest.skip("Keras 3 writes no such file")
    hosted.save_weights(tmp_path / "m.h5")
    assert same_features(convert(tmp_path / "m.h5").donor, hosted, pixels, pixels)
    # The file that the library hosts lists no correction: the library adds one when it loads it.
    plain = network_of(library, weights=None, input_shape=(SIDE, SIDE, 3), pooling="avg")
    plain.set_weights(hosted.get_weights())
    plain.save_weights(tmp_path / "hosted.h5")
    assert same_features(convert(tmp_path / "hosted.h5").donor, hosted, pixels, pixels)
    # A scaling of the user's own before it is asked about.
    inputs = library.layers.Rescaling(1 / 127.5)(library.Input((SIDE, SIDE, 3)))
    scaled = network_of(library, weights=None, input_tensor=inputs, pooling="avg")
    scaled.save_weights(tmp_path / "scaled.h5")
    with pytest.raises(AmbiguousCheckpointError, match="lists 2 Rescaling layers"):
        convert(tmp_path / "scaled.h5")


@pytest.fixture(scope="module")
def hosted(library, tmp_path_factory):
    """What weights="imagenet" builds: the hosted file's Normalization stores deviations as variances."""
    folder = tmp_path_factory.mktemp("hosted")
    source = "keras.src" if library.__name__ == "keras" else "tf_keras.src"
    module = importlib.import_module(f"{source}.applications.efficientnet")
    plain = network_of(library, weights=None)
    for layer in plain.layers:
        if type(layer).__name__ == "Normalization":
            count = np.int64(0)
            layer.set_weights(
                [np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225]), count]
            )
    path = folder / ("hosted.weights.h5" if library.__name__ == "keras" else "hosted.h5")
    plain.save_weights(path)
    where = module.file_utils if library.__name__ == "keras" else module.data_utils
    usual = where.get_file
    where.get_file = lambda *_, **__: str(path)
    try:
        return network_of(library, weights="imagenet", input_shape=(SIDE, SIDE, 3), pooling="avg")
    finally:
        where.get_file = usual
