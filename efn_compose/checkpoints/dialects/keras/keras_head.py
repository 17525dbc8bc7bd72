"""Layers that a user put behind a Keras backbone: which of them is the classifier."""

import dataclasses
import re
from collections.abc import Sequence

from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Prepared
from efn_compose.checkpoints.dialects.keras.keras_backbones import find_config
from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig

_POOLING = ("GlobalAveragePooling2D", "GlobalMaxPooling2D", "Flatten")
#: Layers between pooling and classifier that do nothing in inference.
_IDLE = ("Dropout", "Activation", "Softmax", "InputLayer", "Dense", "Reshape")


def adopt_head(
    raw: RawCheckpoint, layers: Sequence[LayerConfig], own: str, head: str, features: int
) -> Prepared:
    """Return a checkpoint whose user-made classifier has the dialect's name for it.

    A dense layer that the configuration shows right behind average pooling is the
    classifier. Any other layers behind the backbone are left out with the reason;
    without a configuration only a lone dense layer is, since nothing else can be
    told from a changed network.

    Args:
        raw: The checkpoint, under the dialect's names.
        layers: Its configuration; may be empty.
        own: Regular expression of the names of the dialect's own layers.
        head: The dialect's name of the classifier.
        features: Width of the pooled features.
    """
    pattern = re.compile(own)
    strange: dict[str, list[str]] = {}
    for name in raw.tensors:
        layer = name.rpartition("/")[0]
        if not pattern.fullmatch(layer):
            strange.setdefault(layer, []).append(name)
    if not strange or head in {name.rpartition("/")[0] for name in raw.tensors}:
        return Prepared(raw)
    dense = [layer for layer in strange if _is_classifier(raw, layer, features)]
    behind = _layers_behind(layers)
    if behind is None:
        if len(strange) == 1 and dense and ends_in_average_pooling(raw):
            return _renamed(raw, dense[0], head)
        if len(strange) == 1 and dense:
            reason = (
                "classifier of the user's own; the file does not say whether average pooling "
                "precedes it (a .keras or whole-model file does)"
            )
            return _without(raw, strange, reason)
        return Prepared(raw)
    names = {layer.name for layer in behind}
    classes = {layer.class_name for layer in behind}
    pooling = classes & set(_POOLING)
    is_plain = classes <= set(_IDLE) | {"GlobalAveragePooling2D"}
    if len(strange) == 1 and dense and is_plain and pooling == {"GlobalAveragePooling2D"}:
        return _renamed(raw, dense[0], head)
    if set(strange) <= names:
        reason = "layer of the user's own behind the backbone; the backbone comes without it"
        return _without(raw, strange, reason)
    return Prepared(raw)


def ends_in_average_pooling(raw: RawCheckpoint) -> bool:
    """Return whether a `.weights.h5` shows one average pooling outside the blocks.

    Args:
        raw: The checkpoint; files of other containers do not list all layers.
    """
    classes = raw.metadata.get("layer_classes") or {}
    squeezes = sum(name.endswith("se_reduce/kernel") for name in raw.tensors)
    others = ("global_max_pooling2d", "flatten", "average_pooling2d", "max_pooling2d")
    return classes.get("global_average_pooling2d") == squeezes + 1 and not any(
        name in classes for name in others
    )


def _renamed(raw: RawCheckpoint, layer: str, head: str) -> Prepared:
    tensors = {
        f"{head}{name[len(layer) :]}" if name.rpartition("/")[0] == layer else name: tensor
        for name, tensor in raw.tensors.items()
    }
    note = f"took the user's layer {layer!r} as the classifier"
    return Prepared(dataclasses.replace(raw, tensors=tensors, notes=(*raw.notes, note)))


def _is_classifier(raw: RawCheckpoint, layer: str, features: int) -> bool:
    kernel = raw.tensors.get(f"{layer}/kernel")
    bias = raw.tensors.get(f"{layer}/bias")
    return (
        kernel is not None
        and bias is not None
        and len(kernel.shape) == 2
        and kernel.shape[0] == features
    )


def without_max_pooled_head(raw: RawCheckpoint, head: str) -> Prepared:
    """Return a checkpoint without a classifier that reads maxima instead of averages.

    Args:
        raw: The checkpoint, under the dialect's names.
        head: The dialect's name of the classifier.
    """
    task = find_config(raw.metadata.get("model_config"), "Classifier") or {}
    classes = raw.metadata.get("layer_classes") or {}
    names = [name for name in raw.tensors if name.startswith(f"{head}/")]
    if names and (task.get("pooling") == "max" or "global_max_pooling2d" in classes):
        reason = "classifier behind maximum pooling, which no other EfficientNet has"
        return _without(raw, {head: names}, reason)
    return Prepared(raw)


def _layers_behind(layers: Sequence[LayerConfig]) -> list[LayerConfig] | None:
    """Return the layers after the backbone's last activation, or None if there is no such place."""
    for number in range(len(layers) - 1, -1, -1):
        if layers[number].name in ("top_activation", "top_bn"):
            return list(layers[number + 1 :])
    return None


def _without(raw: RawCheckpoint, strange: dict[str, list[str]], reason: str) -> Prepared:
    left_out = {name for names in strange.values() for name in names}
    tensors = {name: tensor for name, tensor in raw.tensors.items() if name not in left_out}
    return Prepared(
        dataclasses.replace(raw, tensors=tensors),
        ignored=tuple((name, reason) for name in sorted(left_out)),
    )
