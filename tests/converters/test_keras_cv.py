"""keras-cv: Lite and V2 against the library itself; V1 refused, and why."""

import numpy as np
import pytest
from keras_cv_networks import SIDE, backbone
from keras_oracles import forget_names, pixels, randomise, relative_error

from converters import CONVERTERS, convert
from converters.reading.matching import match_raw
from efn_compose.arch import arch_spec
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.checkpoints.dialects.keras.keras_backbones import backbone_config
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

pytest.importorskip("keras_cv")
pytestmark = pytest.mark.parity


@pytest.fixture(scope="module", params=["lite", "v2"])
def network(request):
    model = backbone(request.param)
    randomise(model, pixels(seed=1, count=8))
    variant = {"lite": "lite-w1-d0.3", "v2": "v2-b-w0.1-d0.3"}[request.param]
    return model, arch_spec(variant)


def test_every_container_gives_the_librarys_features(network, tmp_path):
    model, spec = network
    first = None
    for file in ("net.weights.h5", "net.h5", "net.keras"):
        (model.save_weights if "weights" in file else model.save)(tmp_path / file)
        conversion = convert(tmp_path / file)
        donor = conversion.donor
        assert (conversion.report.dialect, donor.spec, donor.classes) == ("keras_cv", spec, None)
        if first is None:
            first = donor
            ours = donor.build(input_shape=(SIDE, SIDE, 3), include_top=False)
            features = ours(donor.preprocess(pixels()), training=False)
            assert relative_error(features, model(pixels(), training=False)) < 2e-4
        # Every further container holds the same bits, to be run alike.
        assert donor.conventions == first.conventions
        for key, values in donor.tensors.items():
            np.testing.assert_array_equal(values, first.tensors[key], err_msg=f"{file} {key}")


def test_files_without_layer_names_are_named_by_order(network, tmp_path):
    model, spec = network
    for file in ("named.weights.h5", "numbered.weights.h5"):
        model.save_weights(tmp_path / file)
    forget_names(tmp_path / "numbered.weights.h5")
    arch = spec.variant if spec.family == "v2-b" else None
    named, numbered = (
        convert(tmp_path / f"{n}.weights.h5", arch=arch) for n in ("named", "numbered")
    )
    assert numbered.report.dialect == "keras_cv"
    assert any("named by their order" in note for note in numbered.report.notes)
    for name, values in named.donor.tensors.items():
        np.testing.assert_array_equal(numbered.donor.tensors[name], values)


@pytest.fixture(scope="module")
def v1():
    return backbone("v1")


@pytest.mark.parametrize("file", ["net.weights.h5", "numbered.weights.h5", "net.h5", "net.keras"])
def test_v1_is_refused_by_name(tmp_path, file, v1):
    model = v1
    (model.save_weights if "weights" in file else model.save)(tmp_path / file)
    if file.startswith("numbered"):
        forget_names(tmp_path / file)
    with pytest.raises(ConversionError, match="after every projection"):
        convert(tmp_path / file)


def test_the_stated_reason_for_refusing_v1_is_true():
    """With its extra activation neutralised, keras-cv's V1 is keras.applications' V1."""
    import keras
    from keras.src.applications import efficientnet
    from keras_applications_networks import set_normalization

    model = backbone("v1")
    randomise(model, pixels(seed=1, count=8))
    reference = efficientnet.EfficientNet(
        0.1, 0.3, SIDE, weights=None, include_top=False, input_shape=(SIDE, SIDE, 3)
    )
    weighted = [layer for layer in model.layers if layer.weights]
    targets = [layer for layer in reference.layers if layer.weights][1:]
    for source, target in zip(weighted, targets, strict=True):
        target.set_weights(source.get_weights())
    set_normalization(reference, np.zeros(3), np.ones(3))
    wanted = np.asarray(reference(pixels(), training=False))
    assert relative_error(model(pixels(), training=False), wanted) > 0.5
    for layer in model.layers:
        if layer.name.endswith("project_activation"):
            layer.activation = keras.activations.linear
    assert relative_error(model(pixels(), training=False), wanted) < 2e-4


def test_a_backbone_without_rescaling_must_be_named(tmp_path):
    model = backbone("v2", include_rescaling=False)
    for file in ("net.weights.h5", "net.keras"):
        (model.save_weights if "weights" in file else model.save)(tmp_path / file)
        with pytest.raises(AmbiguousCheckpointError, match="include_rescaling=False"):
            convert(tmp_path / file)
        donor = convert(tmp_path / file, arch="v2-b-w0.1-d0.3").donor
        assert donor.conventions.preprocessing.std == (255.0, 255.0, 255.0)


def test_a_classifier_behind_maximum_pooling_is_left_out(tmp_path):
    import keras_cv

    shared = backbone("v2")
    for pooling, classes in (("avg", 4), ("max", None)):
        model = keras_cv.models.ImageClassifier(backbone=shared, num_classes=4, pooling=pooling)
        model.save(tmp_path / "net.keras")
        assert convert(tmp_path / "net.keras").report.classes == classes


@pytest.fixture(scope="module")
def archive(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "net.keras"
    network[0].save(path)
    return path


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("stackwise_strides", [1, 2, 2, 2, 2, 2, 1], "stackwise_strides = "),
        ("activation", "gelu", "activation = 'gelu'; allowed: swish"),
        ("data_format", "channels_first", "data_format = 'channels_first'"),
        ("blur_pooling", True, "blur_pooling = True; nobody here knows this field"),
    ],
)
def test_arguments_of_a_backbone_are_honoured_or_refused_by_name(archive, field, value, message):
    raw = read_checkpoint(archive)
    dialect = CONVERTERS["keras_cv"]
    backbone_config(raw.metadata["model_config"])[field] = value
    with pytest.raises(ConversionError) as caught:
        match_raw(raw, dialect, Request())
    assert message in str(caught.value)
    backbone_config(raw.metadata["model_config"])[field] = None
    backbone_config(raw.metadata["model_config"])["activation"] = "relu"
    assert match_raw(raw, dialect, Request()).resolved.conventions.activation == "relu"
