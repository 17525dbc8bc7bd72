"""Classifiers that a user put on a PyTorch network: is it one linear layer?

A linear layer on pooled features is the head, under any wrapper. Any other head is left out,
and the backbone comes without one.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.dialect import Prepared
from efn_compose.checkpoints.dialects.torch.torch_surroundings import is_normalisation

_METRIC = re.compile(
    r"(arc|cos|margin|metric|proto|cent(er|re)|anchor|angular|sphere|memory|queue)"
)
_NUMBER = re.compile(r"\.\d+$")
#: Weights of a pooling that the user put in the place of the mean, such as a generalised mean.
_POOLING = re.compile(
    r"(global_pool|avgpool|_avg_pooling|pool|pooling|gem)\.(.+\.)?(p|weight|bias|power)"
)


def adopt_torch_head(
    prepared: Prepared, head: str, features: int, outside: RawCheckpoint | None = None
) -> Prepared:
    """Return a checkpoint whose user-made linear classifier has the dialect's name for it.

    Args:
        prepared: The checkpoint under the dialect's names.
        head: The dialect's module of the classifier: "classifier", "classifier.1", "_fc".
        features: Width of the pooled features.
        outside: Tensors that stand beside the network, of a wrapper that adds its own head.

    Returns:
        The checkpoint with one linear layer named `head`, or without any head; what was left
        out has its reason.
    """
    raw = prepared.raw
    root = _NUMBER.sub("", head)
    own = [name for name in raw.tensors if name.startswith(f"{root}.")]
    pooling = [name for name in raw.tensors if _POOLING.fullmatch(name)]
    if pooling:
        reason = "a pooling of the user's own and what reads it; the backbone comes without a head"
        return _without(prepared, [*pooling, *own], reason)
    if set(own) == {f"{head}.weight", f"{head}.bias"}:
        return prepared
    if own:
        return _adopted(prepared, raw, own, head, features)
    if outside is not None and outside.tensors:
        return _adopted(prepared, outside, list(outside.tensors), head, features)
    return prepared


def _adopted(
    prepared: Prepared, holder: RawCheckpoint, names: Sequence[str], head: str, features: int
) -> Prepared:
    """Take the linear layer among tensors as the classifier, or leave them all out."""
    raw = prepared.raw
    floating = [
        name
        for name in names
        if not name.endswith("num_batches_tracked")
        and not is_normalisation(name, holder.tensors[name].shape)
    ]
    layer = _linear(holder, floating, features)
    if layer is None:
        if holder is not raw:
            return prepared
        reason = "layers of the user's own behind the backbone; the backbone comes without a head"
        return _without(prepared, names, reason)
    weight = holder.tensors[f"{layer}.weight"]
    bias = holder.tensors.get(f"{layer}.bias")
    folded = prepared.folded
    if bias is None:
        bias = _zeros(f"{head}.bias", weight)
        folded = (*folded, f"classifier {layer!r} has no bias: zeros stand for it")
    kept = _others(raw, names) | {
        f"{head}.weight": dataclasses.replace(weight, name=f"{head}.weight"),
        f"{head}.bias": dataclasses.replace(bias, name=f"{head}.bias"),
    }
    note = f"took the user's linear layer {layer!r} as the classifier"
    if holder is not raw:
        note += "; the file does not say whether anything stands between it and the pooled features"
    taken = {f"{layer}.weight", f"{layer}.bias"}
    return dataclasses.replace(
        prepared,
        raw=dataclasses.replace(raw, tensors=kept, notes=(*raw.notes, note)),
        folded=folded,
        ignored=tuple(pair for pair in prepared.ignored if pair[0] not in taken),
    )


def _without(prepared: Prepared, names: Sequence[str], reason: str) -> Prepared:
    """Return a checkpoint without some tensors, which are left out for a reason."""
    return dataclasses.replace(
        prepared,
        raw=dataclasses.replace(prepared.raw, tensors=_others(prepared.raw, names)),
        ignored=(*prepared.ignored, *((name, reason) for name in names)),
    )


def _others(raw: RawCheckpoint, names: Sequence[str]) -> dict[str, RawTensor]:
    """Return all tensors but those of some names."""
    left_out = set(names)
    return {name: tensor for name, tensor in raw.tensors.items() if name not in left_out}


def _linear(holder: RawCheckpoint, names: Sequence[str], features: int) -> str | None:
    """Return the module that is one linear layer on pooled features, where nothing else is there."""
    modules = {name.rpartition(".")[0] for name in names}
    if len(modules) != 1:
        return None
    module = modules.pop()
    roles = {name.rpartition(".")[2] for name in names}
    weight = holder.tensors.get(f"{module}.weight")
    if weight is None or not {"weight"} <= roles <= {"weight", "bias"}:
        return None
    bias = holder.tensors.get(f"{module}.bias")
    # Rows that are compared with features by an angle or a distance are no linear layer.
    is_metric = bias is None and _METRIC.search(module.lower())
    fits = len(weight.shape) == 2 and weight.shape[1] == features and not is_metric
    return module if fits and (bias is None or bias.shape == weight.shape[:1]) else None


def _zeros(name: str, weight: RawTensor) -> RawTensor:
    count = weight.shape[0]
    return RawTensor(name, (count,), weight.dtype, lambda: np.zeros(count, np.float32))
