"""The input scaling that the layers before a Keras model's stem apply to pixels."""

from collections.abc import Sequence

import numpy as np

from efn_compose.arch import Preprocessing
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.keras.keras_arithmetic import after_arithmetic, floats
from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig
from efn_compose.checkpoints.dialects.keras.keras_fields import field_problems
from efn_compose.errors import AmbiguousCheckpointError, ConfigError, describe_problems

#: Layers before the stem that leave pixel values as they are in inference.
NEUTRAL = (
    "InputLayer", "ZeroPadding2D", "Random", "Resizing", "CenterCrop", "Functional",
    "Model", "Sequential", "TimeDistributed", "Dropout", "GaussianNoise", "Cast",
    # Augmentations that work in training only.
    "RandAugment", "AugMix", "MixUp", "CutMix",
)  # fmt: skip


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
        if layer.class_name in ("Rescaling", "Normalization") and not layer.package:
            strange += field_problems(layer, layer.class_name, ())
            is_plain = layer.class_name == "Rescaling"
            factor, shift = _rescaling(layer) if is_plain else _normalization(raw, layer)
            if factor.size not in (1, 3) or shift.size not in (1, 3):
                strange.append(f"- {described(layer)}, neither one number nor one for each colour")
                continue
            scale, offset = scale * factor, offset * factor + shift
            has_scaled = True
        elif (changed := after_arithmetic(layer, scale, offset)) is not None:
            scale, offset = changed
            has_scaled = True
        elif not layer.class_name.startswith(NEUTRAL):
            strange.append(f"- {described(layer)}")
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


def _rescaling(layer: LayerConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and summand of a `Rescaling` layer."""
    return floats(layer.fields.get("scale", 1.0)), floats(layer.fields.get("offset", 0.0))


def _normalization(raw: RawCheckpoint, layer: LayerConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and summand of a `Normalization` layer: of its constants, else of its weights."""
    if layer.fields.get("mean") is not None:
        mean, variance = floats(layer.fields["mean"]), floats(layer.fields["variance"])
    else:
        mean, variance = normalization_weights(raw, layer.name) or (np.zeros(3), np.ones(3))
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    return (deviation, mean) if layer.fields.get("invert") else (1 / deviation, -mean / deviation)


def normalization_layers(raw: RawCheckpoint) -> list[str]:
    """Return the layers that store a mean and a variance of pixels.

    Args:
        raw: The checkpoint.
    """
    layers = [name.rpartition("/")[0] for name in raw.tensors if name.rpartition("/")[2] == "mean"]
    return [layer for layer in layers if f"{layer}/variance" in raw.tensors]


def normalization_weights(
    raw: RawCheckpoint, name: str | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and variance that a `Normalization` layer stores, each (3,), or None.

    Those of a grey network are the same for all colours.

    Args:
        raw: The checkpoint.
        name: The layer; default the only one.
    """
    for layer in normalization_layers(raw):
        if name in (None, layer):
            mean, variance = (
                raw.tensors[f"{layer}/{role}"].load().astype(np.float64).reshape(-1)
                for role in ("mean", "variance")
            )
            if mean.size == variance.size and mean.size in (1, 3):
                return np.broadcast_to(mean, 3), np.broadcast_to(variance, 3)
    return None


def described(layer: LayerConfig) -> str:
    """Return a layer's class and name, and what it computes where these do not say it.

    Args:
        layer: A layer before the stem.
    """
    words = f"{layer.class_name} {layer.name!r}"
    if layer.class_name == "Conv2D":
        return f"{words}, a convolution to {layer.fields.get('filters')} channels"
    function = layer.fields.get("function")
    return f"{words} ({function})" if isinstance(function, str) else words
