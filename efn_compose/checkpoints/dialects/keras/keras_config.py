"""The conventions that a stored Keras model configuration states.

The configuration is parsed JSON; no layer is ever built from it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from efn_compose.arch.conventions import Activation
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.errors import AmbiguousCheckpointError

#: Spelling of activations in configurations.
ACTIVATIONS: dict[str, Activation] = {
    "swish": "swish",
    "silu": "swish",
    "relu6": "relu6",
    "relu": "relu",
}


@dataclass(frozen=True)
class LayerConfig:
    """One layer of a configuration.

    Args:
        class_name: "Conv2D", "BatchNormalization", ...
        name: The layer's name.
        fields: Its arguments.
        inbound: What it is called with, as the configuration stores it.
        package: Where a class of somebody else's is from, "" for a class of Keras.
    """

    class_name: str
    name: str
    fields: Mapping[str, Any]
    inbound: Any = None
    package: str = ""


def config_layers(raw: RawCheckpoint) -> list[LayerConfig]:
    """Return all layers of a checkpoint's configuration in order; nested models before their layers.

    Args:
        raw: A checkpoint; without a configuration the list is empty.
    """
    config = raw.metadata.get("model_config")
    return list(_walk(config)) if isinstance(config, dict) else []


def _walk(node: object) -> Iterator[LayerConfig]:
    if not isinstance(node, dict):
        return
    inner = node.get("config")
    if isinstance(inner, dict):
        yield layer_config(node)
        # TimeDistributed and its like hold one layer, perhaps a model.
        yield from _walk(inner.get("layer"))
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    for layer in layers if isinstance(layers, list) else ():
        yield from _walk(layer)


def layer_config(node: Mapping[str, Any]) -> LayerConfig:
    """Return a layer of a configuration.

    Args:
        node: Parsed JSON with the layer's class and arguments.

    Example:
        >>> layer_config({"class_name": "Custom>Blur", "config": {"name": "a"}}).package
        'Custom'
    """
    inner = node.get("config")
    fields: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    package, _, class_name = str(node.get("class_name", "")).rpartition(">")
    module = str(node.get("module") or "keras")
    if not package and module.partition(".")[0] not in ("keras", "tf_keras"):
        package = module
    return LayerConfig(
        class_name,
        str(fields.get("name", node.get("name", ""))),
        fields,
        node.get("inbound_nodes"),
        package,
    )


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


def config_activation(layers: Sequence[LayerConfig], where: str) -> Activation | None:
    """Return the activation of stem, blocks and top, or None where the configuration is silent.

    Raises:
        AmbiguousCheckpointError: It is unknown, or layers differ.
    """
    found = set()
    for layer in layers:
        is_part = layer.name.endswith("activation") or layer.name.endswith("_swish")
        if layer.class_name == "Activation" and is_part:
            found.add(spelling(layer.fields.get("activation")))
    if not found:
        return None
    known = {ACTIVATIONS.get(name) for name in found}
    if len(known) != 1 or None in known:
        raise AmbiguousCheckpointError(
            f"{where}: the configuration's activations are {sorted(found)}; one of "
            f"{sorted(ACTIVATIONS)} is supported, the same in all blocks."
        )
    return known.pop()


def spelling(value: object) -> str:
    """Return the name of an activation as configurations store it, in lower case.

    Example:
        >>> spelling({"class_name": "function", "config": "Pkg>Swish"})
        'swish'
    """
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
