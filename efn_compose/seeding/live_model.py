"""A Keras or tf-keras model in memory, described as if it came from a file.

The converters' knowledge about files (which library, which network, which
conventions) then holds for models too, without a second table of names.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch.layer_names import STEM_CONV
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig
from efn_compose.errors import SeedingError

STEM = STEM_CONV
#: Leaf classes whose weights the converters know.
_KNOWN = ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "Dense", "Normalization")


@dataclass(frozen=True)
class LiveModel:
    """A model's weights by foreign name, and the layers around them.

    Args:
        raw: The model as a checkpoint; its tensors are views of the variables.
        variables: The variable of each tensor, by the tensor's name.
        layers: Each layer with weights, by its name in `raw`.
        before_stem: Layers in front of the stem, in order.
        containers: The model and all models inside it.
    """

    raw: RawCheckpoint
    variables: dict[str, Any]
    layers: dict[str, Any]
    before_stem: tuple[LayerConfig, ...]
    containers: tuple[Any, ...]


def read_model(model: Any, within: str | None = None) -> LiveModel:
    """Find the EfficientNet in a model.

    Args:
        model: A Keras 3 or tf-keras model that is built.
        within: Where a model holds several networks: the name of the inner model, or
            the prefix that all layer names of one network begin with.

    Raises:
        SeedingError: No network, several of them, or no weights yet.
    """
    root, prefix = _chosen(model, within)
    leaves = list(_leaves(root))
    if not any(layer.weights for layer, _ in leaves):
        raise SeedingError(
            f"Model {model.name!r} has no weights yet. Call it once on an image, or "
            "model.build((None, height, width, 3)), then seed it."
        )
    stems = [layer.name for layer, _ in leaves if layer.name == f"{prefix}{STEM}"]
    if not stems:
        prefixed = [layer.name for layer, _ in leaves if layer.name.endswith(STEM)]
        if len(prefixed) == 1 and not prefix:
            prefix = prefixed[0].removesuffix(STEM)
        else:
            raise _no_single_stem(model, leaves, prefixed)
    elif len(stems) > 1:
        raise _no_single_stem(model, leaves, [layer.name for layer, _ in leaves])
    before, seen = [], False
    tensors: dict[str, RawTensor] = {}
    variables: dict[str, Any] = {}
    layers: dict[str, Any] = {}
    for layer, _ in leaves:
        kind, name = type(layer).__name__, layer.name
        seen = seen or name == f"{prefix}{STEM}"
        is_scaling = kind == "Normalization" and not seen
        if not seen:
            before.append(LayerConfig(kind, name, layer.get_config()))
        if not (name.startswith(prefix) or is_scaling) or kind not in _KNOWN:
            continue
        own = name.removeprefix(prefix)
        if own in layers:
            raise SeedingError(
                f"Model {model.name!r}: two layers are called {name!r}; it holds more than one "
                "network. Name the inner model with within=NAME, and seed each."
            )
        layers[own] = layer
        for variable in layer.weights:
            tensor = f"{own}/{_role(variable)}"
            variables[tensor] = variable
            tensors[tensor] = RawTensor(
                tensor, tuple(variable.shape), "float32", functools.partial(np.asarray, variable)
            )
    raw = RawCheckpoint(Path(model.name), "keras-zip", tensors, _metadata(root, leaves, prefix))
    containers = tuple({id(c): c for _, chain in leaves for c in (model, *chain)}.values())
    return LiveModel(raw, variables, layers, tuple(before), containers)


def leaves_with_weights(model: Any) -> Iterator[Any]:
    """Yield every layer of a model that holds weights itself, nested ones included."""
    return (layer for layer, _ in _leaves(model) if layer.weights)


def _chosen(model: Any, within: str | None) -> tuple[Any, str]:
    if within is None:
        return model, ""
    inner = [c for _, chain in _leaves(model) for c in chain if c.name == within]
    if inner:
        return inner[0], ""
    if any(layer.name == f"{within}{STEM}" for layer, _ in _leaves(model)):
        return model, within
    names = sorted({c.name for _, chain in _leaves(model) for c in chain[1:]})
    raise SeedingError(
        f"Model {model.name!r}: within={within!r} is neither an inner model nor a prefix of its "
        f"layers' names. Inner models: {', '.join(names) or 'none'}."
    )


def _leaves(node: Any, chain: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield (layer, containers around it) of every layer without layers inside, each once."""
    seen: set[int] = set()

    def walk(node: Any, chain: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        inner = getattr(node, "layers", None)
        if not isinstance(inner, list):
            inner = list(node._flatten_layers(include_self=False, recursive=False))
        # Activations and the like that are layers themselves do not make a layer a container.
        is_leaf = type(node).__name__ in _KNOWN or not inner
        if is_leaf and id(node) not in seen:
            seen.add(id(node))
            yield node, chain
        elif not is_leaf:
            for layer in inner:
                yield from walk(layer, (*chain, node))

    return walk(node, chain)


def _role(variable: Any) -> str:
    return variable.name.rpartition("/")[2].removesuffix(":0")


def _metadata(root: Any, leaves: list[tuple[Any, Any]], prefix: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "composites": tuple(
            dict.fromkeys(c.name.removeprefix(prefix) for _, chain in leaves for c in chain[1:])
        )
    }
    for owner in (root, *dict.fromkeys(c for _, chain in leaves for c in chain[1:])):
        try:
            config = json.loads(owner.to_json())
        # A model class without get_config cannot describe itself; one inside it may.
        except (NotImplementedError, AttributeError, TypeError, ValueError):
            continue
        metadata["model_config"] = _without_prefix(config, prefix)
        break
    return metadata


def _without_prefix(node: Any, prefix: str) -> Any:
    if not prefix:
        return node
    if isinstance(node, dict):
        return {
            key: value.removeprefix(prefix)
            if key == "name" and isinstance(value, str)
            else _without_prefix(value, prefix)
            for key, value in node.items()
        }
    return [_without_prefix(item, prefix) for item in node] if isinstance(node, list) else node


def _no_single_stem(model: Any, leaves: list[tuple[Any, Any]], stems: list[str]) -> SeedingError:
    if not stems:
        names = ", ".join(layer.name for layer, _ in leaves[:6])
        return SeedingError(
            f"Model {model.name!r} holds no EfficientNet: no layer is called {STEM!r}. Its layers "
            f"begin with {names}. Known are the models of efn_compose, keras.applications, "
            "tf_keras.applications, keras-cv, keras-hub, qubvel and keras_efficientnet_v2."
        )
    places = sorted({c.name for layer, chain in leaves if layer.name in stems for c in chain[1:]})
    prefixes = sorted({name.removesuffix(STEM) for name in stems if name.endswith(STEM)} - {""})
    return SeedingError(
        f"Model {model.name!r} holds several networks. Seed them one by one with within=NAME; "
        f"names: {', '.join(prefixes or places)}."
    )
