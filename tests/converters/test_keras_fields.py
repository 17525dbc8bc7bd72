"""Fields of Keras configurations: what converts computes what the library's layers compute, or is refused."""

import copy
import dataclasses
import functools
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from open_checkpoints import convert_raw

from converters import convert
from converters.keras_applications import DIALECT
from converters.reading.matching import match_raw
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError, ConversionError
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

pytestmark = pytest.mark.parity

DRAWS = 300
SIDE = 32
KINDS = ("keras-v1", "keras-v2", "tf_keras-v1")
SCALING = ("Rescaling", "Normalization")
_TYPES = ["float64", "mixed_float16", "bfloat16", "int8_from_float32"]
_ANY = {"trainable": [False], "dtype": _TYPES}
_CONV = {
    "strides": [[1, 1], [2, 2]],
    "padding": ["same", "valid"],
    "dilation_rate": [[1, 1], [2, 2]],
    "data_format": ["channels_last", "channels_first"],
    "activation": ["linear", None, "swish", "sigmoid", "relu"],
    "use_bias": [True, False],
    "bias_initializer": ["ones"],
    "kernel_size": [[1, 1], [3, 3]],
}
#: What is drawn for each class of layers.
FIELDS = {
    "Conv2D": {**_CONV, "groups": [1, 2], "filters": [8, 7], "kernel_regularizer": ["l2"]},
    "DepthwiseConv2D": {**_CONV, "depth_multiplier": [1, 2], "depthwise_initializer": ["ones"]},
    "BatchNormalization": {
        "axis": [3, -1, 1, 2],
        "epsilon": [1e-3, 1e-5, 1e-2],
        "momentum": [0.9],
        "center": [True, False],
        "scale": [True, False],
        "renorm": [False, True],
    },
    "Activation": {
        "activation": ["swish", "silu", "relu", "relu6", "gelu", "hard_silu", "linear", "sigmoid"]
    },
    "GlobalAveragePooling2D": {
        "keepdims": [True, False],
        "data_format": ["channels_last", "channels_first"],
    },
    "Reshape": {"target_shape": [[1, 1, -1], [-1], [1, -1, 1]]},
    "Dropout": {"rate": [0.5], "noise_shape": [[None, 1, 1, 1]], "seed": [3]},
    "ZeroPadding2D": {
        "padding": [1, [[0, 1], [0, 1]], [[1, 0], [1, 0]], [[1, 2], [1, 2]], [[1, 1], [1, 1]]],
        "data_format": ["channels_first"],
    },
    "Rescaling": {
        "scale": [1.0, 0.25, [0.5, 0.25, 0.125], [1.0, 2.0]],
        "offset": [0.0, -1.0, [0.0, 1.0, 2.0]],
    },
    "Normalization": {
        "axis": [[3], -1, [1], [2]],
        "invert": [False, True],
        "mean": [[0.1, 0.2, 0.3], None],
    },
    "Dense": {
        "activation": ["softmax", "sigmoid", "relu", None],
        "use_bias": [True, False],
        "units": [3, 4],
    },
    "Add": {},
    "Multiply": {},
}


@functools.cache
def _model(kind):
    """Return a library's network of two dozen layers, with statistics as after a training."""
    name, _, version = kind.partition("-")
    if version == "v2":
        from keras.src.applications import efficientnet_v2

        model = efficientnet_v2.EfficientNetV2(
            0.1, 0.1, SIDE, weights=None, input_shape=(SIDE, SIDE, 3), classes=3, name="efficientnetv2-b0"
        )  # fmt: skip
    else:
        module = pytest.importorskip(f"{name}.src.applications.efficientnet")
        model = module.EfficientNet(
            0.1, 0.1, SIDE, weights=None, input_shape=(SIDE, SIDE, 3), classes=3
        )
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            width = layer.gamma.shape[0]
            layer.set_weights([generator.uniform(0.5, 1.5, width) for _ in range(4)])
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras_fields")

    raws = {}
    for kind in KINDS:
        # The two formats spell configurations differently.
        path = folder / f"{kind}.{'h5' if kind.startswith('tf') else 'keras'}"
        _model(kind).save(path)
        raws[kind] = read_checkpoint(path)
    return raws.__getitem__


@st.composite
def _mutations(draw):
    """Return a network, and (class, number of the layer or None for all, field, value)."""
    kind = draw(st.sampled_from(KINDS))
    drawn = []
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(FIELDS)))
        fields = FIELDS[name] | _ANY
        field = draw(st.sampled_from(sorted(fields)))
        number = draw(st.none() | st.integers(0, 30))
        drawn.append((name, number, field, draw(st.sampled_from(fields[field]))))
    return kind, drawn


def _mutated(raw, drawn):
    config = copy.deepcopy(raw.metadata["model_config"])
    changed = []
    for name, number, field, value in drawn:
        layers = [layer for layer in config["config"]["layers"] if layer["class_name"] == name]
        chosen = layers if number is None or not layers else [layers[number % len(layers)]]
        for layer in chosen:
            layer["config"][field] = value
            if field == "mean":
                layer["config"]["variance"] = None if value is None else [1.0, 4.0, 9.0]
            changed.append(layer["config"])
    metadata = {**raw.metadata, "model_config": config}
    return dataclasses.replace(raw, metadata=metadata), config, changed


def _layer_output(cls, config, weights, inputs):
    """Return what the library's layer of a configuration makes of inputs."""
    import tensorflow as tf

    layer = cls.from_config(config)
    read = inputs if len(inputs) > 1 else inputs[0]
    layer.build([one.shape for one in inputs] if len(inputs) > 1 else read.shape)
    if weights:
        layer.set_weights(weights)
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    return tf.cast(layer(read), "float64").numpy()


def _in_half(fields):
    """Say whether a layer computes in 16 bits; a policy also carries an identity of any digits."""
    dtype = fields["dtype"]
    return "16" in (dtype if isinstance(dtype, str) else dtype["config"]["name"])


def _check(kind, matched, config, changed):
    """Changed layers compute, in the library, what the converted network's do."""
    layers = {layer.name: layer for layer in _model(kind).layers}
    names = list(dict.fromkeys(one["name"] for one in changed))
    fields = {layer["config"]["name"]: layer["config"] for layer in config["config"]["layers"]}
    in_front = [name for name in layers if type(layers[name]).__name__ in SCALING]
    if set(in_front) & set(names):
        _check_scaling(matched, [(layers[name], fields[name]) for name in in_front])
    names = [name for name in names if name not in in_front]
    if matched.classes is None:
        names = [name for name in names if name != "predictions"]
    # Where all layers of a class were changed, they were changed alike.
    for name in names[:: max(1, len(names) // 3)]:
        _check_layer(layers[name], fields[name], matched.resolved.conventions)


def _check_scaling(matched, in_front):
    values = pixels = np.random.default_rng(1).integers(0, 256, (1, 4, 4, 3)).astype(np.float32)
    in_half = any(_in_half(fields) for _, fields in in_front)
    for layer, fields in in_front:
        weights = [] if fields.get("mean") is not None else layer.get_weights()
        values = np.float32(_layer_output(type(layer), fields, weights, [values]))
    scaling = matched.resolved.conventions.preprocessing
    ours = (pixels - np.float64(scaling.mean)) / scaling.std
    atol = np.abs(values).max() * (2e-2 if in_half else 1e-5)
    np.testing.assert_allclose(ours, values, rtol=0, atol=atol)


def _check_layer(layer, fields, conventions):
    generator = np.random.default_rng(1)
    shapes = layer.input if isinstance(layer.input, list) else [layer.input]
    inputs = [generator.normal(0, 1, (2, *one.shape[1:])).astype(np.float32) for one in shapes]
    meant = layer.get_config()
    if "epsilon" in meant:
        meant["epsilon"] = conventions.bn_epsilon
    if meant.get("activation") in ("swish", "silu"):
        meant["activation"] = conventions.activation
    if type(layer).__name__ == "Dense":
        meant["activation"] = fields["activation"]  # logits are what converts
    theirs, expected = (
        _layer_output(type(layer), one, layer.get_weights(), inputs) for one in (fields, meant)
    )
    tolerance = 5e-2 if _in_half(fields) else 1e-5
    np.testing.assert_allclose(theirs.ravel(), expected.ravel(), rtol=tolerance, atol=tolerance)


@settings(
    max_examples=DRAWS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_mutations())
def test_configurations_give_what_the_library_computes_or_are_refused(saved, case):
    kind, drawn = case
    raw, config, changed = _mutated(saved(kind), drawn)
    try:
        matched = match_raw(raw, DIALECT, Request())
    except (ConversionError, AmbiguousCheckpointError):
        return
    _check(kind, matched, config, changed)


def test_the_property_can_fail(saved):
    """A network of another epsilon than the library's layers is noticed."""
    drawn = [("BatchNormalization", 0, "epsilon", 1e-2)]
    raw, config, changed = _mutated(saved("keras-v1"), drawn)
    matched = match_raw(saved("keras-v1"), DIALECT, Request())
    with pytest.raises(AssertionError):
        _check("keras-v1", matched, config, changed)
    with pytest.raises(AmbiguousCheckpointError, match="epsilon"):
        match_raw(raw, DIALECT, Request())


@pytest.mark.parametrize("kind", ["keras-v1", "tf_keras-v1"])
def test_a_whole_network_of_other_fields_is_the_library_s(saved, kind):
    drawn = [
        ("BatchNormalization", None, "epsilon", 1e-2),
        ("Activation", None, "activation", "relu"),
        ("Rescaling", None, "scale", [0.5, 0.25, 0.125]),
        ("Normalization", None, "mean", [0.5, 0.25, 0.125]),
    ]
    raw, config, _ = _mutated(saved(kind), drawn)
    for layer in config["config"]["layers"]:
        if layer["config"]["name"].endswith("se_reduce"):
            layer["config"]["activation"] = "relu"
    donor = convert_raw(raw, DIALECT, Request()).donor
    model = _model(kind)
    theirs = type(model).from_config(config["config"])
    weights = [value for layer in model.layers for value in layer.get_weights()]
    theirs.set_weights(weights[3:])  # a Normalization of constants has no weights
    theirs.get_layer("predictions").activation = lambda logits: logits
    pixels = np.random.default_rng(2).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)
    expected = np.asarray(theirs(pixels, training=False), np.float64)
    ours = NumpyNetwork(WeightSource.of(donor)).run(donor.preprocess(pixels.astype(np.float64)))
    np.testing.assert_allclose(ours, expected, atol=2e-5 * expected.std())


def _wired(raw, layer, *reads):
    """Return a checkpoint whose configuration has one layer read others, by name or class."""
    config = copy.deepcopy(raw.metadata["model_config"])
    names = {one["class_name"]: one["config"]["name"] for one in config["config"]["layers"]}
    node = next(one for one in config["config"]["layers"] if one["config"]["name"] == layer)
    node["inbound_nodes"] = [[[names.get(name, name), 0, 0, {}] for name in reads]]
    return dataclasses.replace(raw, metadata={**raw.metadata, "model_config": config})


@pytest.mark.parametrize(
    "layer, reads, message",
    [
        ("block2a_expand_bn", ["block1a_project_conv"], "reads 'stage1_block1_project_conv'"),
        ("top_activation", ["top_conv"], "no layer computes 'top_activation'"),
        ("block1a_se_excite", ["block1a_se_expand", "block1a_bn"], "reads"),
        ("stem_conv", ["Normalization"], "padding"),
    ],
)
def test_layers_that_read_others_are_refused(saved, layer, reads, message):
    with pytest.raises(ConversionError, match=message):
        match_raw(_wired(saved("tf_keras-v1"), layer, *reads), DIALECT, Request())


@pytest.mark.slow
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_wrapped_and_sizeless_networks_are_followed_like_others(tmp_path, library):
    keras = pytest.importorskip(library)
    module = pytest.importorskip(f"{library}.src.applications.efficientnet")
    options = {"include_top": False, "weights": None, "pooling": "avg"}
    body = module.EfficientNet(0.1, 0.1, SIDE, input_shape=(None, None, 3), **options)
    series = keras.Input((2, SIDE, SIDE, 3))
    many = keras.layers.TimeDistributed(body)(series)
    many = keras.layers.Dense(3)(keras.layers.Flatten()(many))
    models = {"plain": body} if library == "keras" else {"series": keras.Model(series, many)}
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        assert convert(tmp_path / f"{name}.keras").donor.classes is None
        raw = read_checkpoint(tmp_path / f"{name}.keras")
        text = json.dumps(raw.metadata["model_config"]).replace('"silu"', '"gelu"')
        config = json.loads(text.replace('"swish"', '"gelu"'))
        changed = dataclasses.replace(raw, metadata={**raw.metadata, "model_config": config})
        with pytest.raises((ConversionError, AmbiguousCheckpointError), match="gelu"):
            match_raw(changed, DIALECT, Request())


def test_fields_are_named_with_layer_and_value_all_at_once(saved):
    drawn = [("Conv2D", 0, "dilation_rate", [2, 2]), ("DepthwiseConv2D", 1, "depth_multiplier", 2)]
    raw, _, _ = _mutated(saved("keras-v1"), drawn)
    with pytest.raises(ConversionError) as caught:
        match_raw(raw, DIALECT, Request())
    assert "Conv2D 'stem_conv': dilation_rate = [2, 2]" in str(caught.value)
    assert "DepthwiseConv2D 'block2a_dwconv': depth_multiplier = 2" in str(caught.value)
    accepted = Request(accepted=("dilation_rate", "depth_multiplier"))
    assert match_raw(raw, DIALECT, accepted).classes == 3


def test_a_custom_layer_of_a_known_name_is_not_taken_for_it(saved):
    raw = saved("tf_keras-v1")
    config = copy.deepcopy(raw.metadata["model_config"])
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "Multiply":
            layer["class_name"] = "Mine>Multiply"
    changed = dataclasses.replace(raw, metadata={**raw.metadata, "model_config": config})
    with pytest.raises(ConversionError, match="Mine>Multiply"):
        match_raw(changed, DIALECT, Request())
