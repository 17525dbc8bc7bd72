"""The conventions that a stored Keras model configuration states.

The configuration is parsed JSON; no layer is ever built from it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.arch import Preprocessing
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.errors import AmbiguousCheckpointError, ConfigError, describe_problems

#: Spelling of activations in configurations.
_ACTIVATIONS = {
    "swish": "swish",
    "silu": "swish",
    "relu6": "relu6",
    "relu": "relu",
}
#: Layers before the stem that leave pixel values as they are in inference.
_NEUTRAL = (
    "InputLayer", "ZeroPadding2D", "Random", "Resizing", "CenterCrop", "Functional",
    "Model", "Sequential", "Dropout", "GaussianNoise", "Cast",
)  # fmt: skip


@dataclass(frozen=True)
class LayerConfig:
    """One layer of a configuration.

    Args:
        class_name: "Conv2D", "BatchNormalization", ...
        name: The layer's name.
        fields: Its arguments.
    """

    class_name: str
    name: str
    fields: Mapping[str, Any]


def config_layers(raw: RawCheckpoint) -> list[LayerConfig]:
    """Return all layers of a checkpoint's configuration in order; nested models before their layers.

    Args:
        raw: A checkpoint; without a configuration the list is empty.
    """
    config = raw.metadata.get("model_config")
    return list(_walk(config)) if isinstance(config, dict) else []


def _walk(node: Any) -> Iterator[LayerConfig]:
    if not isinstance(node, dict):
        return
    inner = node.get("config")
    if isinstance(inner, dict):
        class_name = str(node.get("class_name", "")).rpartition(">")[2]
        yield LayerConfig(class_name, str(inner.get("name", "")), inner)
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    for layer in layers if isinstance(layers, list) else ():
        yield from _walk(layer)


def config_epsilon(layers: Sequence[LayerConfig], where: str) -> float | None:
    """Return the epsilon of all BatchNorms, or None where the configuration holds none.

    Raises:
        AmbiguousCheckpointError: They differ.
    """
    return _common(layers, "BatchNormalization", "epsilon", where)


def config_momentum(layers: Sequence[LayerConfig]) -> float | None:
    """Return the momentum of the first BatchNorm, or None; it matters in training only."""
    for layer in layers:
        if layer.class_name == "BatchNormalization" and "momentum" in layer.fields:
            return float(layer.fields["momentum"])
    return None


def config_activation(layers: Sequence[LayerConfig], where: str) -> str | None:
    """Return the activation of stem, blocks and top, or None where the configuration is silent.

    Raises:
        AmbiguousCheckpointError: It is unknown, or layers differ.
    """
    found = set()
    for layer in layers:
        is_part = layer.name.endswith("activation") or layer.name.endswith("_swish")
        if layer.class_name == "Activation" and is_part:
            found.add(_spelling(layer.fields.get("activation")))
    if not found:
        return None
    known = {_ACTIVATIONS.get(name) for name in found}
    if len(known) != 1 or None in known:
        raise AmbiguousCheckpointError(
            f"{where}: the configuration's activations are {sorted(found)}; one of "
            f"{sorted(_ACTIVATIONS)} is supported, the same in all blocks."
        )
    return known.pop()


def _spelling(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("config") if isinstance(value.get("config"), str) else value.get("name")
    return str(value).rpartition(">")[2].lower()


def _common(layers: Sequence[LayerConfig], class_name: str, field: str, where: str) -> float | None:
    values = {
        float(layer.fields[field])
        for layer in layers
        if layer.class_name == class_name and layer.fields.get(field) is not None
    }
    if len(values) > 1:
        raise AmbiguousCheckpointError(
            f"{where}: {class_name}.{field} takes several values {sorted(values)}; one is supported."
        )
    return values.pop() if values else None


def config_preprocessing(
    raw: RawCheckpoint, layers: Sequence[LayerConfig], stem: str
) -> Preprocessing | None:
    """Return the affine scaling that the layers before the stem apply to pixels.

    Args:
        raw: The checkpoint; holds the values of `Normalization` layers.
        layers: Its configuration.
        stem: Name of the stem convolution.

    Returns:
        The scaling, or None where no layer scales.

    Raises:
        AmbiguousCheckpointError: A layer before the stem does something else.
    """
    scale, offset, has_scaled, strange = np.ones(3), np.zeros(3), False, []
    for layer in layers:
        if layer.name == stem:
            break
        if layer.class_name == "Rescaling":
            factor = np.broadcast_to(_floats(layer.fields.get("scale", 1.0)), 3)
            scale, offset = scale * factor, offset * factor
            offset = offset + np.broadcast_to(_floats(layer.fields.get("offset", 0.0)), 3)
            has_scaled = True
        elif layer.class_name == "Normalization":
            mean, variance = _normalization(raw, layer)
            deviation = np.maximum(np.sqrt(variance), 1e-7)
            scale, offset = scale / deviation, (offset - mean) / deviation
            has_scaled = True
        elif not layer.class_name.startswith(_NEUTRAL):
            strange.append(f"- {layer.class_name} {layer.name!r}")
    if strange:
        raise AmbiguousCheckpointError(
            describe_problems(
                f"{raw.path}: layers before the stem that are no known input scaling:",
                strange,
                "Name the network, e.g. --arch b0, to accept the usual scaling of its weights.",
            )
        )
    if not has_scaled:
        return None
    try:
        return Preprocessing(tuple(-offset / scale), tuple(1 / scale))
    except ConfigError as error:
        raise AmbiguousCheckpointError(f"{raw.path}: unusable input scaling: {error}") from None


def _normalization(raw: RawCheckpoint, layer: LayerConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance: constants of the configuration, else the layer's weights."""
    if layer.fields.get("mean") is not None:
        return _floats(layer.fields["mean"]), _floats(layer.fields["variance"])
    found = normalization_weights(raw, layer.name)
    return (np.zeros(3), np.ones(3)) if found is None else found


def normalization_weights(
    raw: RawCheckpoint, name: str | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and variance that a `Normalization` layer stores, each (3,), or None.

    Args:
        raw: The checkpoint.
        name: The layer; default the only one.
    """
    for tensor in raw.tensors:
        layer, _, role = tensor.rpartition("/")
        if role == "mean" and f"{layer}/variance" in raw.tensors and name in (None, layer):
            mean = raw.tensors[tensor].load().astype(np.float64).reshape(-1)
            variance = raw.tensors[f"{layer}/variance"].load().astype(np.float64).reshape(-1)
            if mean.size == variance.size == 3:
                return mean, variance
    return None


def _floats(value: Any) -> np.ndarray:
    """Return a number or nested list of numbers of a configuration as a flat array."""
    if isinstance(value, dict):
        value = value.get("config", {}).get("value", value)
    return np.asarray(value, np.float64).reshape(-1)
