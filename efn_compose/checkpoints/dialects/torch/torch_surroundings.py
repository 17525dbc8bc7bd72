"""What stands around a network in a PyTorch file and says how pixels are scaled, or changes the function.

A wrapper may normalise by buffers of its own; a training keeps settings beside the weights. Scalings
are honoured. Other settings are compared with what the dialect has found, and refused where they differ.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from efn_compose.arch import Conventions, Preprocessing
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.dialect import Resolved
from efn_compose.checkpoints.dialects.stated_fields import refuse_unknown

_BUFFER = re.compile(r"(.*[._])?(mean|std)")
_SETTINGS = (
    *("hyper_parameters", "hparams", "hyperparameters", "args", "config", "cfg", "opt", "options"),
    *("pretrained_cfg", "default_cfg", "data_config", "model_args", "model_kwargs", "settings"),
)
_PREFIXES = ("", "pixel_", "image_", "img_", "norm_", "normalize_", "data_")
_EPSILONS = ("bn_eps", "bn_epsilon", "batch_norm_eps", "batch_norm_epsilon", "norm_eps")
_POOLS = ("global_pool", "gp", "pool_type")
_AVERAGES = ("avg", "fast", "fastavg", "mean", "average")
_ACTIVATIONS = {"silu": "swish", "swish": "swish", "relu": "relu", "relu6": "relu6"}


def is_normalisation(name: str, shape: Sequence[int]) -> bool:
    """Return whether a tensor is the mean or deviation of a wrapper's `Normalize`.

    Example:
        >>> is_normalisation("0.mean", (1, 3, 1, 1)), is_normalisation("bn1.running_mean", (3,))
        (True, False)
    """
    is_named = _BUFFER.fullmatch(name) and not name.endswith("running_mean")
    return bool(is_named) and int(np.prod(shape)) in (1, 3) and max(shape, default=1) <= 3


def layers_in_front(tensors: Mapping[str, RawTensor]) -> list[str]:
    """Return a line for each tensor outside the network that looks like a layer before the stem.

    Args:
        tensors: The tensors outside the network.
    """
    found = []
    for name, tensor in tensors.items():
        shape, role = tensor.shape, name.rpartition(".")[2]
        is_conv = role == "weight" and len(shape) == 4 and shape[0] == 3 and shape[1] <= 4
        if is_conv or (role == "running_mean" and shape == (3,)):
            found.append(f"- {name} {shape}")
    return found


def with_surroundings(
    resolved: Resolved,
    raw: RawCheckpoint,
    beside: Mapping[str, RawTensor],
    accepted: Iterable[str],
    is_read: Iterable[str] = (),
) -> Resolved:
    """Return conventions with the input scaling that stands around the network, if one does.

    Args:
        resolved: What the dialect has found.
        raw: The checkpoint.
        beside: Tensors outside the network.
        accepted: Fields and tensors that the user knows to change nothing.
        is_read: Settings that the dialect itself reads.

    Raises:
        ConversionError: A setting contradicts the conventions, or two scalings differ.
    """
    accepted = tuple(accepted)
    problems: list[str] = []
    scalings: dict[str, Preprocessing] = {}
    for where, mean, std in (
        *_buffers(beside, accepted, problems),
        *_stated(raw.metadata, accepted, is_read, problems),
    ):
        found = _scaling(mean, std)
        if found is None:
            problems.append(f"- {where}: mean {mean}, std {std}; neither of 0..1 nor of 0..255")
        else:
            scalings[where] = found
    first = next(iter(scalings.items()), None)
    if first is not None:
        problems += [
            f"- {where} and {first[0]} state different scalings"
            for where, other in scalings.items()
            if not other.is_close(first[1])
        ]
    for where, settings in _mappings(raw.metadata, is_read):
        problems += _contradictions(where, settings, resolved.conventions, accepted)
    refuse_unknown(raw.path, problems)
    if first is None:
        return resolved
    if first[1].is_close(resolved.conventions.preprocessing):
        return resolved
    conventions = dataclasses.replace(resolved.conventions, preprocessing=first[1])
    sources = {**resolved.sources, "preprocessing": first[0]}
    return dataclasses.replace(resolved, conventions=conventions, sources=sources)


def _buffers(
    beside: Mapping[str, RawTensor], accepted: Sequence[str], problems: list[str]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield (where, mean, std) of each wrapper that normalises."""
    names = [name for name, tensor in beside.items() if is_normalisation(name, tensor.shape)]
    for name in names:
        if name in accepted:
            continue
        role = name[-4:] if name.endswith("mean") else name[-3:]
        stem = name.removesuffix(role)
        other = f"{stem}{'std' if role == 'mean' else 'mean'}"
        if other not in names:
            problems.append(f"- {name}: a wrapper's {role} without {other!r} beside it")
        elif role == "mean":
            mean, std = (beside[part].load().reshape(-1).tolist() for part in (name, other))
            yield f"{name} and {other} in the file", mean, std


def _mappings(
    metadata: Mapping[str, Any], is_read: Iterable[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what the file calls settings, and the settings at its top."""
    yield "the file", metadata
    for name in _SETTINGS:
        settings = metadata.get(name)
        if name not in is_read and isinstance(settings, Mapping) and "model_type" not in settings:
            yield name, settings


def _stated(
    metadata: Mapping[str, Any],
    accepted: Sequence[str],
    is_read: Iterable[str],
    problems: list[str],
) -> Iterator[tuple[str, Any, Any]]:
    for where, settings in _mappings(metadata, is_read):
        for prefix in _PREFIXES:
            mean, std = settings.get(f"{prefix}mean"), settings.get(f"{prefix}std")
            names = [f"{prefix}{role}" for role in ("mean", "std")]
            if set(names) & set(accepted) or not (_is_colours(mean) or _is_colours(std)):
                continue
            if mean is None or std is None:
                lacking = names[mean is not None]
                problems.append(f"- {where}: {names[mean is None]} is stated without {lacking}")
                continue
            yield f"{names[0]} and {names[1]} in {where}", mean, std


def _is_colours(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 3
        and all(isinstance(one, (int, float)) for one in value)
    )


def _scaling(mean: Any, std: Any) -> Preprocessing | None:
    """Return the scaling of pixels in 0..255 that mean and deviation mean, None if unclear."""
    means, deviations = np.ravel(np.float64(mean)), np.ravel(np.float64(std))
    if means.size not in (1, 3) or deviations.size not in (1, 3) or deviations.min() <= 0:
        return None
    if means.max() <= 1 and deviations.max() <= 1:
        factor = 255.0
    elif means.min() > 1 and deviations.min() > 1:
        factor = 1.0
    else:
        return None
    return Preprocessing(
        tuple(np.broadcast_to(means * factor, 3)), tuple(np.broadcast_to(deviations * factor, 3))
    )


def _contradictions(
    where: str, settings: Mapping[str, Any], conventions: Conventions, accepted: Sequence[str]
) -> list[str]:
    """Return a line for each setting that names another function than the conventions."""
    lines = []

    def differ(name: str, value: object, ours: object) -> None:
        lines.append(f"- {where}: {name} = {value!r:.80}; the network's: {ours!r}")

    for name, value in settings.items():
        if name in accepted or value is None:
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if name in _EPSILONS and is_number and not np.isclose(value, conventions.bn_epsilon):
            differ(name, value, conventions.bn_epsilon)
        if name in _POOLS and isinstance(value, str) and value and value not in _AVERAGES:
            differ(name, value, "avg")
        is_named = name == "act_layer" and isinstance(value, str) and value
        if is_named and _ACTIVATIONS.get(value.lower()) != conventions.activation:
            differ(name, value, conventions.activation)
        if name == "pad_type" and value in ("", "same"):
            padding = {"": "symmetric", "same": "same"}[value]
            if padding != conventions.padding:
                differ(name, value, conventions.padding)
    return lines
