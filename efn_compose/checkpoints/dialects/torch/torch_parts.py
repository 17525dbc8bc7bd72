"""Weights that PyTorch stores in parts, or under a wrapper's name in the middle: made whole.

Weight normalisation stores length and direction, spectral normalisation a weight and two vectors,
pruning a weight and a mask. Each is computed here as the module computes it in inference.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.dialect import Prepared
from efn_compose.errors import ConversionError, describe_problems

#: Wrappers of single modules, whose names stand in the middle of others.
_INFIXES = (
    "_orig_mod.",
    "_checkpoint_wrapped_module.",
    "_fsdp_wrapped_module.",
    "_forward_module.",
)
#: What counts operations, as thop and fvcore leave behind.
_COUNTERS = re.compile(r"(.*\.)?(total_ops|total_params)")
#: Parts of quantised weights and of adapters, which are no float weights any more.
_REFUSED = (
    (
        re.compile(r".*(fake_quant|activation_post_process|_packed_params|zero_point).*"),
        "quantisation",
    ),
    (re.compile(r".*\.(SCB|weight_format|quant_state.*|qweight|qzeros)"), "quantisation"),
    (re.compile(r".*\.lora_.*"), "an adapter (LoRA) that is not merged"),
)


@dataclass(frozen=True)
class _Form:
    """One way to store a weight in parts.

    Args:
        words: What it is called.
        parts: What follows the module's name and a dot, for each part.
        joined: Computes the weight from the parts.
    """

    words: str
    parts: tuple[str, ...]
    joined: Callable[..., np.ndarray]


def _normalised(length: np.ndarray, direction: np.ndarray) -> np.ndarray:
    # The axis that has lengths is kept; a length for the whole weight has one value.
    axes = tuple(axis for axis, size in enumerate(length.shape) if size == 1)
    axes = axes if direction.ndim == length.ndim else tuple(range(direction.ndim))
    norm = np.sqrt(np.square(direction.astype(np.float64)).sum(axis=axes, keepdims=True))
    return np.asarray(direction * (length / norm), np.float32)


def _spectral(weight: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    matrix = weight.reshape(weight.shape[0], -1).astype(np.float64)
    return np.asarray(weight / (left @ matrix @ right), np.float32)


def _masked(weight: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.asarray(weight * mask, np.float32)


_API = "parametrizations.weight."
_FORMS = (
    _Form("weight normalisation", ("weight_g", "weight_v"), _normalised),
    _Form("weight normalisation", (f"{_API}original0", f"{_API}original1"), _normalised),
    _Form("spectral normalisation", ("weight_orig", "weight_u", "weight_v"), _spectral),
    _Form("spectral normalisation", (f"{_API}original", f"{_API}0._u", f"{_API}0._v"), _spectral),
    _Form("pruning", ("weight_orig", "weight_mask"), _masked),
)


def made_whole(raw: RawCheckpoint) -> Prepared:
    """Return a PyTorch checkpoint with whole weights under the modules' own names.

    Args:
        raw: The checkpoint as its reader returned it.

    Raises:
        ConversionError: Weights are quantised, or stored in parts that nobody here knows.
    """
    raw = _without_infixes(raw)
    problems = [
        f"- {name} {tensor.shape}: {words}"
        for name, tensor in raw.tensors.items()
        for pattern, words in _REFUSED
        if pattern.fullmatch(name)
    ]
    tensors = dict(raw.tensors)
    counters = [name for name in tensors if _COUNTERS.fullmatch(name)]
    for name in counters:
        del tensors[name]
    folded = _join(tensors)
    problems += [
        f"- {name} {tensor.shape}: a parametrization"
        for name, tensor in tensors.items()
        if ".parametrizations." in f".{name}"
    ]
    if problems:
        raise ConversionError(
            describe_problems(
                f"{raw.path}: the file does not hold plain weights.",
                problems,
                "Save the plain network from its own library: merge adapters, remove parametrizations "
                "(torch.nn.utils.parametrize.remove_parametrizations), or save it before it is "
                "quantised.",
            )
        )
    ignored = tuple((name, "counter of operations, kept by a profiler") for name in counters)
    return Prepared(dataclasses.replace(raw, tensors=tensors), tuple(folded), ignored)


def _without_infixes(raw: RawCheckpoint) -> RawCheckpoint:
    notes = []
    tensors: Mapping[str, RawTensor] = raw.tensors
    for infix in _INFIXES:
        if any(infix in name for name in tensors):
            tensors = {name.replace(infix, ""): tensor for name, tensor in tensors.items()}
            notes.append(f"wrapper {infix!r} taken out of names")
    return dataclasses.replace(raw, tensors=tensors, notes=(*raw.notes, *notes)) if notes else raw


def _join(tensors: dict[str, RawTensor]) -> list[str]:
    """Put whole weights in the place of parts; return a line for each."""
    lines = []
    for form in _FORMS:
        first = form.parts[0]
        for name in [name for name in tensors if name.endswith(f".{first}")]:
            module = name.removesuffix(first)
            names = [f"{module}{part}" for part in form.parts]
            if not all(part in tensors for part in names):
                continue
            parts = [tensors.pop(part) for part in names]
            shape = max((part.shape for part in parts), key=lambda shape: int(np.prod(shape)))
            whole = f"{module}weight"
            tensors[whole] = RawTensor(whole, shape, "float32", _loader(form, parts))
            lines.append(f"{whole}: computed from the parts of its {form.words}")
    return lines


def _loader(form: _Form, parts: list[RawTensor]) -> Callable[[], np.ndarray]:
    return lambda: form.joined(*(part.load().astype(np.float32) for part in parts))
