"""The network inside a file: below wrappers, beside a second network, beside a decoder.

A wrapper puts a prefix of its own before every name of the network it holds. The prefix is
found by asking every dialect for the names below each prefix there is.
"""

import dataclasses
import re
from bisect import bisect_left

from converters.reading.recognition import candidate_dialects
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import TORCH_CONTAINERS, Prepared, Request
from efn_compose.checkpoints.dialects.torch.torch_surroundings import (
    is_normalisation,
    layers_in_front,
)
from efn_compose.errors import (
    AmbiguousCheckpointError,
    ConfigError,
    ConversionError,
    describe_problems,
)

#: Things that a training keeps beside the network, by name, with the words for them.
_BOOKKEEPING = (
    (re.compile(r"(.*[._])?(criterion|loss)(s|_fn|_func|_function|_module)?[.].+"), "loss"),
    (
        re.compile(
            r"(.*[._])?(metrics?|confmat|accuracy|acc|auroc|auc|f1|precision|recall|kappa)[.].+"
            r"|.+[.](confmat|tp|fp|tn|fn|sum_squared_error|preds|target|measures)"
        ),
        "metric",
    ),
)
_COUNTERS = re.compile(
    r"(.*[._])?(n_averaged|initted|(global_)?steps?|num_updates|iterations?|epochs?|decay)"
)
#: Reasons of tensors that are not the network's.
OUTSIDE = "outside the network"
NORMALISATION = "input scaling of a wrapper; kept as the conventions' preprocessing"
_SEPARATOR = re.compile(r"[./]")


def inner_network(raw: RawCheckpoint, request: Request) -> Prepared:
    """Return the part of a checkpoint that is one whole network, named as its library names it.

    Args:
        raw: The checkpoint as its reader returned it.
        request: `prefix` says where the network is; without it the network is looked for.

    Returns:
        The network, and the tensors outside it with the reason.

    Raises:
        ConfigError: Nothing is below the prefix that was asked for.
        AmbiguousCheckpointError: Several networks are in the file; their prefixes are listed.
    """
    if request.prefix is not None:
        return _below(raw, _given_prefix(raw, request.prefix))
    if candidate_dialects(raw, request.arch):
        return _without_bookkeeping(raw)
    found = network_prefixes(raw, request.arch)
    if len(found) > 1:
        raise AmbiguousCheckpointError(
            describe_problems(
                f"{raw.path}: {len(found)} networks are in the file.",
                [f"--prefix {prefix or repr('')}" for prefix in found],
                "Choose one with --prefix.",
            )
        )
    if not found or not found[0]:
        return _without_bookkeeping(raw)
    inner = _below(raw, found[0])
    _refuse_layers_in_front(raw, inner, found[0])
    return inner


def network_prefixes(raw: RawCheckpoint, arch: str | None = None) -> list[str]:
    """Return the prefixes below which a dialect recognises a network, "" for none.

    Args:
        raw: The checkpoint.
        arch: `--arch`, as `candidate_dialects` takes it.
    """
    names = sorted(raw.tensors)
    prefixes = {""} | {name[: match.end()] for name in names for match in _SEPARATOR.finditer(name)}
    found: list[str] = []
    for prefix in sorted(prefixes, key=lambda prefix: (len(prefix), prefix)):
        # A network that was found already holds no other one.
        if prefix and any(prefix.startswith(outer) for outer in found if outer):
            continue
        if candidate_dialects(named_below(raw, prefix, names), arch):
            found.append(prefix)
    return found


def named_below(raw: RawCheckpoint, prefix: str, names: list[str] | None = None) -> RawCheckpoint:
    """Return the tensors below a prefix, named without it.

    Args:
        raw: The checkpoint.
        prefix: The prefix, with its dot or slash.
        names: The checkpoint's names, sorted, where the caller has them.
    """
    if not prefix:
        return raw
    names = sorted(raw.tensors) if names is None else names
    start = bisect_left(names, prefix)
    tensors = {}
    for name in names[start:]:
        if not name.startswith(prefix):
            break
        tensors[name[len(prefix) :]] = raw.tensors[name]
    return dataclasses.replace(raw, tensors=tensors)


def _given_prefix(raw: RawCheckpoint, prefix: str) -> str:
    """Return a prefix as the file has it: with its dot, without wrappers' that are stripped."""
    if not prefix:
        return ""
    candidates = [prefix, f"{prefix}.", f"{prefix}/"]
    # Readers strip the prefixes of well-known wrappers.
    rest = prefix
    while "." in rest:
        rest = rest.partition(".")[2]
        candidates += [rest, f"{rest}."] if rest else [""]
    for candidate in candidates:
        below = [name for name in raw.tensors if name.startswith(candidate)]
        if below and (not candidate or candidate[-1] in "./"):
            return candidate
    known = network_prefixes(raw)
    listed = ", ".join(repr(name) for name in known) or "none"
    raise ConfigError(
        f"{raw.path}: no tensor's name begins with --prefix {prefix!r}. Prefixes that hold a "
        f"network: {listed}. Names begin with: {', '.join(list(raw.tensors)[:3])}."
    )


def _below(raw: RawCheckpoint, prefix: str) -> Prepared:
    # The network without a prefix remains when those below a prefix are taken away.
    others = () if prefix else tuple(filter(None, network_prefixes(raw)))
    inside = [name for name in raw.tensors if name.startswith(prefix)]
    inside = [name for name in inside if not name.startswith(others)] if others else inside
    tensors = {
        name[len(prefix) :]: dataclasses.replace(raw.tensors[name], name=name[len(prefix) :])
        for name in inside
    }
    kept = set(inside)
    outside = tuple(
        (name, _kept_by(raw, name) or f"{OUTSIDE} below {prefix!r}")
        for name in raw.tensors
        if name not in kept
    )
    notes = (*raw.notes, f"network found below the prefix {prefix!r}") if prefix else raw.notes
    return Prepared(dataclasses.replace(raw, tensors=tensors, notes=notes), ignored=outside)


def _without_bookkeeping(raw: RawCheckpoint) -> Prepared:
    """Return a network without a prefix, and what a training or a wrapper keeps beside it."""
    reasons = {name: _kept_by(raw, name) for name in raw.tensors}
    ignored = tuple((name, reason) for name, reason in reasons.items() if reason)
    if not ignored:
        return Prepared(raw)
    tensors = {name: tensor for name, tensor in raw.tensors.items() if not reasons[name]}
    return Prepared(dataclasses.replace(raw, tensors=tensors), ignored=ignored)


def _refuse_layers_in_front(raw: RawCheckpoint, inner: Prepared, prefix: str) -> None:
    """Raise where tensors outside the network look like layers that it reads."""
    outside = {name: raw.tensors[name] for name, _ in inner.ignored}
    found = layers_in_front(outside) if raw.container in TORCH_CONTAINERS else []
    if found:
        raise ConversionError(
            describe_problems(
                f"{raw.path}: layers that seem to stand before the network below {prefix!r}.",
                found,
                "They are part of what the whole computes, and networks here begin at the stem. Add "
                f"--prefix {prefix} to take the network without them.",
            )
        )


def _kept_by(raw: RawCheckpoint, name: str) -> str | None:
    """Return what a tensor is, where it is known to belong to no network."""
    for pattern, kind in _BOOKKEEPING:
        if pattern.fullmatch(name):
            return f"state of a {kind}, kept by the training"
    shape = raw.tensors[name].shape
    if shape in ((), (1,)) and _COUNTERS.fullmatch(name):
        return "counter, kept by the training"
    is_scaling = raw.container in TORCH_CONTAINERS and is_normalisation(name, shape)
    return NORMALISATION if is_scaling else None
