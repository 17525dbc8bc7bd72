"""The pixel scaling that a model applies before its stem, and the one that weights want."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.arch import PREPROCESSINGS, Preprocessing
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.keras.keras_backbones import find_config
from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig
from efn_compose.checkpoints.dialects.keras.keras_scaling import config_preprocessing
from efn_compose.errors import AmbiguousCheckpointError


@dataclass(frozen=True)
class InputScaling:
    """The scaling of pixels before the stem.

    Args:
        fixed: The scaling that the model's own layers do, None where they do none.
        mean: Values for the model's `Normalization` layer that make it do what the
            weights want, (3,) float32, or None where it has no such layer.
        variance: The same.
        layer: Name of that layer.
        where: "" where layers of the model scale, else who does instead.
        unclear: Why the model's scaling cannot be told, or "".
    """

    fixed: Preprocessing | None
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None
    layer: str = ""
    where: str = ""
    unclear: str = ""


def find_scaling(
    raw: RawCheckpoint, before: Sequence[LayerConfig], stem: str, wanted: Preprocessing
) -> InputScaling:
    """Return how a model scales pixels, and how its `Normalization` would have to be set.

    Args:
        raw: The model as a checkpoint.
        before: Its layers in front of the stem, in order.
        stem: Name of the stem.
        wanted: The scaling that the weights want.
    """
    adaptable = [
        number
        for number, layer in enumerate(before)
        if layer.class_name == "Normalization" and layer.fields.get("mean") is None
    ]
    end = LayerConfig("Conv2D", stem, {})
    try:
        if len(adaptable) == 1:
            place = adaptable[0]
            first = config_preprocessing(raw, [*before[:place], end], stem)
            last = config_preprocessing(raw, [*before[place + 1 :], end], stem)
            return _adapted(before[place].name, first, last, wanted)
        fixed = config_preprocessing(raw, [*before, end], stem)
    except AmbiguousCheckpointError as error:
        return InputScaling(None, unclear=without_options(str(error)))
    if fixed is None:
        converter = find_config(raw.metadata.get("model_config"), "ImageConverter")
        if converter is not None and converter.get("scale") is not None:
            return InputScaling(_of_converter(converter), where="its preprocessor")
    return InputScaling(fixed)


def without_options(text: str) -> str:
    """Return a message without the sentences that name options of a command.

    Example:
        >>> without_options("Two fit.\\n  Name one with --arch, e.g. b0. Nothing was read.")
        'Two fit.\\n  Nothing was read.'
    """
    kept = []
    for line in text.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        sentences = re.split(r"(?<=\.) (?=[A-Z])", line.strip())
        rest = " ".join(sentence for sentence in sentences if "--" not in sentence)
        if rest:
            kept.append(indent + rest)
    return "\n".join(kept)


def nearly_equal(one: Preprocessing, other: Preprocessing) -> bool:
    """Return whether two scalings differ by rounding only."""
    return bool(np.allclose((one.mean, one.std), (other.mean, other.std), rtol=1e-5, atol=1e-3))


def _adapted(
    layer: str, first: Preprocessing | None, last: Preprocessing | None, wanted: Preprocessing
) -> InputScaling:
    """Solve ((x / s1 - m1 / s1) - mean) / deviation, then `last`, = the scaling that is wanted."""
    none = PREPROCESSINGS["none"]
    (mean_1, std_1), (mean_2, std_2) = (_arrays(part or none) for part in (first, last))
    mean, std = _arrays(wanted)
    deviation = std / (std_1 * std_2)
    centre = (mean - mean_1) / std_1 - mean_2 * deviation
    variance = (deviation**2).astype(np.float32)
    return InputScaling(None, centre.astype(np.float32), variance, layer)


def _arrays(scaling: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(scaling.mean, np.float64), np.asarray(scaling.std, np.float64)


def _of_converter(fields: dict[str, Any]) -> Preprocessing:
    scale = np.broadcast_to(np.asarray(fields["scale"], np.float64).reshape(-1), 3)
    offset = np.broadcast_to(np.asarray(fields.get("offset") or 0.0).reshape(-1), 3)
    return Preprocessing(tuple(-offset / scale), tuple(1 / scale))
