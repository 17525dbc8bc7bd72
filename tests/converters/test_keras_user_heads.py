"""Heads of the user's own on Keras backbones: the classifier where it is one, else left out and said so."""

import functools

import numpy as np
import pytest

from converters import convert
from efn_compose.errors import AmbiguousCheckpointError, UnreadableCheckpointError
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

pytestmark = pytest.mark.parity

SIDE = 64
CLASSES = 4


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def library(request):
    return pytest.importorskip(request.param)


@pytest.fixture(scope="module")
def backbone(library):
    """A network of two dozen layers without a top."""
    module = pytest.importorskip(f"{library.__name__}.src.applications.efficientnet")
    return module.EfficientNet(
        0.1, 0.1, SIDE, include_top=False, weights=None, input_shape=(SIDE, SIDE, 3)
    )


def _heads(layers):
    return {
        "average": [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, name="a")],
        "named": [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, name="predictions")],
        "softmax": [layers.GlobalAveragePooling2D(), layers.Dropout(0.2),
                    layers.Dense(CLASSES), layers.Softmax()],
        "kept map": [layers.GlobalAveragePooling2D(keepdims=True), layers.Flatten(),
                     layers.Dense(CLASSES)],
        "sigmoid": [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, activation="sigmoid")],
        "named maximum": [layers.GlobalMaxPooling2D(), layers.Dense(CLASSES, name="predictions")],
        "maximum": [layers.GlobalMaxPooling2D(), layers.Dense(CLASSES)],
        "rectified": [layers.GlobalAveragePooling2D(), layers.Activation("relu"),
                      layers.Dense(CLASSES)],
        "rectified classes": [layers.GlobalAveragePooling2D(),
                              layers.Dense(CLASSES, activation="relu")],
        "norm, named": [layers.GlobalAveragePooling2D(), layers.BatchNormalization(epsilon=0.1),
                        layers.Dense(CLASSES, name="predictions")],
        "hidden, named": [layers.GlobalAveragePooling2D(), layers.Dense(8, activation="relu"),
                          layers.Dense(CLASSES, name="predictions")],
        "no bias": [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES, use_bias=False)],
        "normalised": [layers.GlobalAveragePooling2D(), layers.LayerNormalization(),
                       layers.Dense(CLASSES)],
    }  # fmt: skip


TAKEN = ("average", "named", "softmax", "kept map", "sigmoid")


@pytest.mark.slow
def test_a_linear_layer_on_averages_is_the_head_and_nothing_else_is(tmp_path, library, backbone):
    container = "m.h5" if library.__name__ == "tf_keras" else "m.keras"
    pixels = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)
    inputs = library.Input((SIDE, SIDE, 3))
    shared = backbone(inputs)
    for name, head in _heads(library.layers).items():
        # Two ways to write the same; the second traces the backbone once for all heads.
        if name in ("softmax", "maximum"):
            model = library.Sequential([library.Input((SIDE, SIDE, 3)), backbone, *head])
        else:
            model = library.Model(inputs, functools.reduce(lambda x, f: f(x), head, shared))
        path = tmp_path / f"{name} {container}"
        model.save(path)
        conversion = convert(path)
        if name not in TAKEN:
            assert conversion.donor.classes is None, name
            reasons = {reason for _, reason in conversion.report.mapping.ignored}
            assert any("the backbone comes without it" in reason for reason in reasons), name
            continue
        assert conversion.donor.classes == CLASSES, name
        dense = next(layer for layer in head if type(layer).__name__ == "Dense")
        features = np.asarray(backbone(pixels, training=False), np.float64).mean((1, 2))
        kernel, bias = (np.asarray(value, np.float64) for value in dense.get_weights())
        donor = conversion.donor
        ours = NumpyNetwork(WeightSource.of(donor)).run(donor.preprocess(pixels.astype(np.float64)))
        expected = features @ kernel + bias
        np.testing.assert_allclose(ours, expected, atol=2e-5 * expected.std(), err_msg=name)


@pytest.mark.slow
def test_a_weights_file_whose_model_pools_by_maxima_comes_without_its_head(
    tmp_path, library, backbone
):
    head = [library.layers.GlobalMaxPooling2D(), library.layers.Dense(CLASSES, name="predictions")]
    model = library.Sequential([library.Input((SIDE, SIDE, 3)), backbone, *head])
    model.save_weights(tmp_path / "m.weights.h5")
    assert convert(tmp_path / "m.weights.h5").donor.classes is None


@pytest.mark.slow
def test_a_saved_model_says_whether_averages_precede_its_head(tmp_path):
    library = pytest.importorskip("tf_keras")
    from tf_keras.src.applications.efficientnet import EfficientNet

    backbone = EfficientNet(0.1, 0.1, 32, include_top=False, weights=None, input_shape=(32, 32, 3))
    layers = library.layers
    head = [layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)]
    library.Sequential([backbone, *head]).save(tmp_path / "saved", save_format="tf")
    assert convert(tmp_path / "saved").donor.classes == CLASSES
    configuration = tmp_path / "saved" / "keras_metadata.pb"
    # The field has the same length, so that the record around it stays whole.
    text = configuration.read_bytes()
    changed = text.replace(
        b'"units": 4, "activation": "linear"', b'"units": 4, "activation": "square"'
    )
    assert changed != text
    configuration.write_bytes(changed)
    assert convert(tmp_path / "saved").donor.classes is None
    configuration.write_bytes(text[:-1000])
    with pytest.raises(UnreadableCheckpointError, match="not a readable Keras configuration"):
        convert(tmp_path / "saved")
    configuration.unlink()
    assert convert(tmp_path / "saved").donor.classes is None


@pytest.mark.slow
def test_a_decoder_in_a_weights_file_is_a_question_and_is_left_out_of_a_whole_model(
    tmp_path, library, backbone
):
    layers = library.layers
    skip = backbone.get_layer("block4a_expand_activation").output
    up = layers.UpSampling2D(4)(backbone.output)
    up = layers.Conv2D(8, 3, padding="same", name="decoder")(layers.Concatenate()([up, skip]))
    model = library.Model(backbone.input, layers.Conv2D(1, 1, name="mask")(up))
    model.save(tmp_path / "m.h5")
    ignored = dict(convert(tmp_path / "m.h5").report.mapping.ignored)
    assert {"decoder/kernel", "mask/bias"} <= set(ignored)
    if library.__name__ == "keras":  # tf_keras numbers layers in such files
        model.save_weights(tmp_path / "m.weights.h5")
        with pytest.raises(AmbiguousCheckpointError, match="decoder/kernel"):
            convert(tmp_path / "m.weights.h5")
