"""Layers that a user put behind a Keras backbone: which of them is the classifier."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Prepared
from efn_compose.checkpoints.dialects.keras.keras_backbones import find_config
from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig
from efn_compose.errors import AmbiguousCheckpointError, ConversionError, describe_problems

#: Metadata: how the configuration calls the layer that was taken as the classifier.
HEAD_NAME = "head_layer"
#: How the note begins that says so.
TAKEN = "took the user's layer"
#: Last layers of a backbone.
_LAST = ("top_activation", "top_bn", "post_swish", "post_bn")
#: Containers that hold weights and do not say which layer reads which.
_WITHOUT_WIRES = ("keras-weights", "tf-checkpoint", "tf-saved-model")
#: Layers of a `.weights.h5` that may stand in the place of average pooling.
_OTHER_POOLING = frozenset(
    {"global_max_pooling2d", "flatten", "average_pooling2d", "max_pooling2d"}
)
_OWN_LAYER = "layer of the user's own behind the backbone; the backbone comes without it"


def adopt_head(
    raw: RawCheckpoint, layers: Sequence[LayerConfig], own: str, head: str, features: int
) -> Prepared:
    """Return a checkpoint whose user-made classifier has the dialect's name for it.

    A lone dense layer that the configuration shows behind the backbone is taken as the
    classifier (`with_traced_head` drops it if it reads something else than averages). Any
    other layers behind the backbone are left out with the reason;
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
    named = [name for name in raw.tensors if name.rpartition("/")[0] == head]
    if not strange:
        has_other = _OTHER_POOLING & set(raw.metadata.get("layer_classes") or {})
        if named and not layers and has_other:
            reason = f"classifier of a model that pools by {min(has_other)}, without an average"
            return _without(raw, {head: named}, reason)
        return Prepared(raw)
    if named:
        # The classifier stands behind other layers of the user's own.
        strange[head] = named
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
        if _stand_behind(raw, strange, features):
            return _without(raw, strange, _OWN_LAYER)
        if raw.container in _WITHOUT_WIRES and not layers:
            raise AmbiguousCheckpointError(
                describe_problems(
                    f"{raw.path}: {len(strange)} layers are not the network's, and the file does not "
                    "say where they stand.",
                    [f"- {name} {raw.tensors[name].shape}" for name in _firsts(strange)],
                    "Save the whole model as .keras, which does: layers behind the backbone are left "
                    "out then.",
                )
            )
        return Prepared(raw)
    _refuse_layers_in_front(raw, layers, strange)
    names = {layer.name for layer in behind}
    if len(strange) == 1 and dense and dense[0] in names:
        # Whether it reads the averages is seen when the configuration is followed.
        return _renamed(raw, dense[0], head)
    if set(strange) <= names:
        return _without(raw, strange, _OWN_LAYER)
    return Prepared(raw)


def _firsts(strange: Mapping[str, Sequence[str]]) -> list[str]:
    return [names[0] for names in strange.values()][:20]


def _refuse_layers_in_front(
    raw: RawCheckpoint, layers: Sequence[LayerConfig], strange: Mapping[str, Sequence[str]]
) -> None:
    """Raise where a layer with weights stands before the stem: it is part of the function."""
    in_front = []
    for layer in layers:
        if layer.name == "stem_conv":
            break
        if layer.name in strange:
            in_front.append(
                f"- {layer.class_name} {layer.name!r}: {', '.join(strange[layer.name])}"
            )
    else:
        return
    if in_front:
        raise ConversionError(
            describe_problems(
                f"{raw.path}: layers with weights stand before the stem.",
                in_front,
                "They are part of what the network computes, and networks here begin at the stem. "
                "Save the backbone alone (model.get_layer('efficientnetb0').save(...)) and keep "
                "these layers in your own model.",
            )
        )


def _stand_behind(raw: RawCheckpoint, strange: Mapping[str, Sequence[str]], features: int) -> bool:
    """Return whether shapes show that all layers come after the pooled features.

    Dense layers form chains from the features; a norm has the width of what a dense layer reads.
    """
    kernels = {
        layer: raw.tensors[f"{layer}/kernel"].shape
        for layer in strange
        if f"{layer}/kernel" in raw.tensors
    }
    if any(len(shape) != 2 for shape in kernels.values()):
        return False
    reached, waiting = {features}, dict(kernels)
    while found := [layer for layer, shape in waiting.items() if shape[0] in reached]:
        reached |= {waiting.pop(layer)[1] for layer in found}
    read = {features} | {shape[0] for shape in kernels.values()}
    widths = {
        raw.tensors[name].shape
        for layer, names in strange.items()
        if layer not in kernels
        for name in names
    }
    return not waiting and all(len(shape) == 1 and shape[0] in read for shape in widths)


def ends_in_average_pooling(raw: RawCheckpoint) -> bool:
    """Return whether a `.weights.h5` shows one average pooling outside the blocks.

    Args:
        raw: The checkpoint; files of other containers do not list all layers.
    """
    classes = raw.metadata.get("layer_classes") or {}
    squeezes = sum(name.endswith("se_reduce/kernel") for name in raw.tensors)
    return classes.get("global_average_pooling2d") == squeezes + 1 and not _OTHER_POOLING & set(
        classes
    )


def _renamed(raw: RawCheckpoint, layer: str, head: str) -> Prepared:
    tensors = {
        f"{head}{name[len(layer) :]}" if name.rpartition("/")[0] == layer else name: tensor
        for name, tensor in raw.tensors.items()
    }
    note = f"{TAKEN} {layer!r} as the classifier"
    metadata = {**raw.metadata, HEAD_NAME: layer}
    notes = (*raw.notes, note)
    return Prepared(dataclasses.replace(raw, tensors=tensors, metadata=metadata, notes=notes))


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


def backbone_layers(layers: Sequence[LayerConfig]) -> list[LayerConfig]:
    """Return a configuration's layers without those behind the backbone, where these can be told.

    Args:
        layers: All layers, in order.
    """
    return list(layers[: len(layers) - len(_layers_behind(layers) or ())])


def _layers_behind(layers: Sequence[LayerConfig]) -> list[LayerConfig] | None:
    """Return the layers after the backbone's last activation, or None if there is no such place."""
    for number in range(len(layers) - 1, -1, -1):
        if layers[number].name in _LAST:
            return list(layers[number + 1 :])
    return None


def _without(raw: RawCheckpoint, strange: dict[str, list[str]], reason: str) -> Prepared:
    left_out = {name for names in strange.values() for name in names}
    tensors = {name: tensor for name, tensor in raw.tensors.items() if name not in left_out}
    return Prepared(
        dataclasses.replace(raw, tensors=tensors),
        ignored=tuple((name, reason) for name in sorted(left_out)),
    )
