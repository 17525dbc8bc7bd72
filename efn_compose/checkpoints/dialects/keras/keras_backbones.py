"""Telling apart the Keras libraries whose layers have the same names.

keras-cv and keras-hub build blocks as composite layers and describe a backbone
by "stackwise" lists in its configuration; keras.applications does neither.
"""

from collections.abc import Iterator
from typing import Any

from efn_compose.checkpoints.containers.raw import RawCheckpoint

_COMPOSITE_CLASSES = ("mb_conv_block", "fused_mb_conv_block", "cba_block")


def backbone_config(config: object) -> dict[str, Any] | None:
    """Return the arguments of the keras-cv or keras-hub backbone in a configuration, or None.

    Args:
        config: Parsed JSON of a model, a task, or a preset's `config.json`.
    """
    for node in _nodes(config):
        if "stackwise_kernel_sizes" in node and "stackwise_strides" in node:
            return node
    return None


def find_config(config: object, class_suffix: str) -> dict[str, Any] | None:
    """Return the arguments of the first object whose class name ends so, or None.

    Args:
        config: Parsed JSON.
        class_suffix: "ImageConverter", ...
    """
    for node in _nodes(config):
        if str(node.get("class_name", "")).endswith(class_suffix):
            inner = node.get("config")
            return inner if isinstance(inner, dict) else None
    return None


def is_hub(config: dict[str, Any]) -> bool:
    """Return whether a backbone's arguments are keras-hub's rather than keras-cv's."""
    return "stackwise_block_types" in config


def has_composite_blocks(raw: RawCheckpoint) -> bool:
    """Return whether blocks are composite layers, as only keras-cv and keras-hub build them.

    Args:
        raw: A Keras checkpoint of any container.
    """
    classes = raw.metadata.get("layer_classes") or {}
    composites = raw.metadata.get("composites") or ()
    return any(name in classes for name in _COMPOSITE_CLASSES) or any(
        name.startswith("block") and name.endswith("_") for name in composites
    )


def numbered_v1_library(raw: RawCheckpoint) -> str:
    """Return which library wrote a V1 or Lite `.weights.h5` that only numbers its layers.

    All have the same convolutions in the same order; the layers without weights,
    which such files list too, differ.

    Args:
        raw: A numbered checkpoint without a `Normalization` layer's weights.

    Returns:
        "keras_hub" where every depthwise convolution is padded explicitly,
        "keras_cv" where every BatchNorm is followed by an activation or pixels are
        rescaled, else "qubvel".
    """
    classes = raw.metadata.get("layer_classes") or {}
    blocks = classes.get("depthwise_conv2d", 0)
    if blocks and classes.get("zero_padding2d", 0) > blocks:
        return "keras_hub"
    norms, activations = classes.get("batch_normalization", 0), classes.get("activation", 0)
    has_se = any(name.startswith("conv2d") and name.endswith("/bias") for name in raw.tensors)
    if "rescaling" in classes or (norms and activations >= norms) or not has_se:
        return "keras_cv"
    return "qubvel"


def _nodes(config: object) -> Iterator[dict[str, Any]]:
    pending = [config]
    while pending:
        node = pending.pop(0)
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
