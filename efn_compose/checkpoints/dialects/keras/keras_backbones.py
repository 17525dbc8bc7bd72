"""Telling apart the Keras libraries whose layers have the same names.

keras-cv and keras-hub build blocks as composite layers and describe a backbone
by "stackwise" lists in its configuration; keras.applications does neither.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from efn_compose.arch import ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.stated_fields import KnownFields

#: Arguments of keras-cv's and keras-hub's backbones.
_ARGUMENTS = KnownFields(
    read=frozenset(
        {"activation", "include_rescaling", "include_stem_padding", "stem_conv_padding"}
        | {"projection_activation", "batch_norm_epsilon", "batch_norm_momentum"}
        | {"stackwise_strides", "stackwise_block_types", "stackwise_nores_option", "dtype"}
    ),
    # Tensors show widths, kernels and repeats; the others matter in training only.
    harmless=frozenset(
        {"name", "trainable", "input_shape", "image_shape", "input_tensor", "num_features"}
        | {"width_coefficient", "depth_coefficient", "stackwise_width_coefficients"}
        | {"stackwise_depth_coefficients", "depth_divisor", "min_depth", "dropout", "dropout_rate"}
        | {"skip_connection_dropout", "drop_connect_rate", "stackwise_kernel_sizes"}
        | {"stackwise_num_repeats", "stackwise_input_filters", "stackwise_output_filters"}
        | {"stackwise_expansion_ratios", "stackwise_squeeze_and_excite_ratios"}
        | {"stackwise_conv_types", "stackwise_force_input_filters", "layers", "input_layers"}
        | {"use_depth_divisor_as_min_depth", "cap_round_filter_decrease", "output_layers"}
    ),
    allowed={"data_format": ("channels_last",)},
)
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


def argument_problems(
    config: Mapping[str, Any], spec: ArchSpec, accepted: Iterable[str] = ()
) -> list[str]:
    """Return a line for every argument of a backbone that makes another network than the tensors'.

    Args:
        config: The backbone's arguments.
        spec: The network that the tensors show.
        accepted: Arguments that the user knows to change nothing.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> argument_problems({"stackwise_strides": [1, 1, 2, 2, 1, 2, 1]}, arch_spec("b0"))
        ['- the backbone: stackwise_strides = [1, 1, 2, 2, 1, 2, 1]; allowed: [1, 2, 2, 2, 1, 2, 1]']
    """
    where = "the backbone"
    lines = _ARGUMENTS.problems(config, where, accepted)
    first = {block.stage: block.stride for block in reversed(spec.blocks)}
    strides = [first[stage] for stage in sorted(first)]
    stated = list(config.get("stackwise_strides") or strides)
    if stated != strides and "stackwise_strides" not in accepted:
        lines.append(f"- {where}: stackwise_strides = {stated}; allowed: {strides}")
    without_skip = config.get("stackwise_nores_option") or []
    if any(without_skip) and "stackwise_nores_option" not in accepted:
        lines.append(f"- {where}: stackwise_nores_option = {without_skip}; allowed: all false")
    return lines


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
    pending: deque[Any] = deque([config])
    while pending:
        node = pending.popleft()
        if isinstance(node, dict):
            yield node
            node = list(node.values())
        if isinstance(node, list):
            # Most values are numbers and texts.
            pending.extend(value for value in node if isinstance(value, (dict, list)))
