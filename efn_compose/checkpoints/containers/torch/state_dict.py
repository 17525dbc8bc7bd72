"""Finding the tensors in a PyTorch file: training checkpoints, wrappers, prefixes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.containers.torch.torch_globals import Inert
from efn_compose.checkpoints.containers.torch.torch_tensors import TensorRef
from efn_compose.errors import UnreadableCheckpointError, describe_problems

#: Where averaged weights are, in order of preference.
EMA_KEYS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema"),
    *("averaged_model", "swa_model", "swa_state_dict"),
)
#: Where the weights are otherwise.
STATE_KEYS = ("state_dict", "model", "net", "model_state_dict", "params")
#: Wrappers' prefixes, stripped again and again while all names share one.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.")
#: Keys of wrappers that are no weights.
_COUNTERS = {"n_averaged": "counter of torch.optim.swa_utils"}
MAX_CONFIG_BYTES = 1 << 20


def unwrap(
    content: object,
    path: Path,
    container: str,
    load: Callable[[str, TensorRef], Callable[[], np.ndarray]],
    *,
    ema: bool,
) -> RawCheckpoint:
    """Return the checkpoint inside an unpickled object.

    Args:
        content: What `safe_unpickle` returned.
        path: The file.
        container: "torch-zip" or "torch-legacy".
        load: Gives for a name and a tensor the function that reads it; checks extents.
        ema: Whether averaged weights are preferred.

    Raises:
        UnreadableCheckpointError: There is no dictionary of tensors, or there are
            several and none under a known key.
    """
    notes: list[str] = []
    metadata: dict[str, Any] = {}
    state = _find(content, path, notes, metadata, ema)
    refs = {}
    for name, value in state.items():
        if isinstance(value, TensorRef) and name not in _COUNTERS:
            refs[name] = value
        else:
            notes.append(f"left out {name!r}: {_COUNTERS.get(name, 'not a tensor')}")
    renamed = strip_prefixes(list(refs), notes)
    tensors = {
        new: RawTensor(new, ref.shape, ref.dtype, load(new, ref))
        for new, ref in zip(renamed, refs.values(), strict=True)
    }
    metadata |= config_beside(path, notes)
    return RawCheckpoint(path, container, tensors, metadata, tuple(notes))


def _find(
    content: object, path: Path, notes: list[str], metadata: dict[str, Any], ema: bool
) -> Mapping[str, Any]:
    """Descend to the dictionary of tensors; note keys taken, keep plain values as metadata."""
    where: list[object] = []
    while True:
        if not isinstance(content, Mapping):
            raise UnreadableCheckpointError(
                f"{path}: expected a dictionary of tensors{_at(where)}, received "
                f"{type(content).__name__}. Save model.state_dict(), not the model."
            )
        _keep_plain(content, metadata)
        if any(isinstance(value, TensorRef) for value in content.values()) and not any(
            isinstance(content.get(key), Mapping) for key in (*EMA_KEYS, *STATE_KEYS)
        ):
            return {str(name): value for name, value in content.items()}
        key = _next_key(content, path, where, ema, notes)
        if key is None:
            # Each dictionary becomes a prefix, by which the user can ask for it.
            return {
                f"{name}.{inner}": value
                for name, part in content.items()
                if _holds_tensors(part)
                for inner, value in part.items()
            }
        notes.append(f"weights taken from {key!r}")
        where.append(key)
        content = content[key]


def _next_key(
    content: Mapping[Any, Any], path: Path, where: list[object], ema: bool, notes: list[str]
) -> object | None:
    """Return the key to descend by, None where several dictionaries hold tensors."""
    nested = [key for key, value in content.items() if isinstance(value, Mapping) and value]
    # Some tools keep averages as a list without names, which is of no use here.
    averaged = [key for key in EMA_KEYS if key in nested and _holds_names(content[key])]
    plain = [key for key in STATE_KEYS if key in nested]
    if averaged and (ema or not plain):
        if not ema:
            raise UnreadableCheckpointError(
                f"{path}: holds only averaged weights ({averaged[0]!r}); the raw ones were asked for."
            )
        return averaged[0]
    if plain:
        if averaged:
            notes.append(f"averaged weights {averaged[0]!r} left out: raw ones were asked for")
        return plain[0]
    holding = [key for key in nested if _holds_tensors(content[key])]
    if len(holding) == 1:
        return holding[0]
    if len(holding) > 1:
        notes.append(f"several dictionaries of tensors: {', '.join(map(str, holding))}")
        return None
    raise UnreadableCheckpointError(
        describe_problems(
            f"{path}: no dictionary of tensors under a known key{_at(where)}.",
            [f"- {key!r}: {type(value).__name__}" for key, value in list(content.items())[:20]],
            f"Known keys: {', '.join((*EMA_KEYS, *STATE_KEYS))}. Save model.state_dict() alone.",
        )
    )


def _holds_names(value: object) -> bool:
    """Return whether a dictionary of tensors is in a value, or in the dictionaries of it."""
    return _holds_tensors(value) or (
        isinstance(value, Mapping) and any(_holds_names(item) for item in value.values())
    )


def _holds_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(item, TensorRef) for item in value.values()
    )


def _at(where: list[object]) -> str:
    return f" at {'/'.join(map(str, where))}" if where else ""


def _keep_plain(content: Mapping[Any, Any], metadata: dict[str, Any]) -> None:
    """Keep plain values as metadata: numbers, short texts, and lists and settings made of them."""
    for key, value in content.items():
        plain = _plain(value)
        if plain is not _NOT_PLAIN:
            metadata[str(key)] = plain


_NOT_PLAIN = object()
#: Longest text, list and settings object that are kept, and how deep they are looked into.
_MAX_TEXT, _MAX_ITEMS, _MAX_DEPTH = 500, 500, 4
#: Stands in settings for a value that is no plain one, so that nobody takes the setting for absent.
NOT_READ = "(not a plain value)"


def _plain(value: object, depth: int = 0) -> Any:
    """Return a value as JSON has it, without its parts that are not plain; or `_NOT_PLAIN`."""
    if value is None and depth:
        return None
    if isinstance(value, (str, int, float, bool)):
        return value if len(str(value)) < _MAX_TEXT else _NOT_PLAIN
    if depth == _MAX_DEPTH:
        return _NOT_PLAIN
    if isinstance(value, (list, tuple)):
        items = [_plain(item, depth + 1) for item in value[:_MAX_ITEMS]]
        is_whole = len(value) <= _MAX_ITEMS and _NOT_PLAIN not in items
        return items if is_whole and (items or depth) else _NOT_PLAIN
    fields = value.state if isinstance(value, Inert) else value
    # Tensors are looked for in dictionaries at the top; only settings objects are kept there.
    if not isinstance(fields, Mapping) or len(fields) > _MAX_ITEMS:
        return _NOT_PLAIN
    # A setting of None was not given.
    kept = {str(n): _plain(item, depth + 1) for n, item in fields.items() if item is not None}
    if isinstance(value, Inert):
        kept = {name: NOT_READ if item is _NOT_PLAIN else item for name, item in kept.items()}
    kept = {name: item for name, item in kept.items() if item is not _NOT_PLAIN}
    return kept if kept or depth else _NOT_PLAIN


def strip_prefixes(names: list[str], notes: list[str]) -> list[str]:
    """Return names without the wrappers' prefixes that all of them share.

    Example:
        >>> notes = []
        >>> strip_prefixes(["module.net.a", "module.net.b"], notes), notes
        (['a', 'b'], ["prefix 'module.' stripped", "prefix 'net.' stripped"])
    """
    while names:
        prefix = next(
            (prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in names)), None
        )
        if prefix is None:
            break
        names = [name.removeprefix(prefix) for name in names]
        notes.append(f"prefix {prefix!r} stripped")
    return names


def config_beside(path: Path, notes: list[str]) -> dict[str, Any]:
    """Return {"config": ...} of the `config.json` beside a file, as hosted models have it.

    Only a JSON object that names an architecture or a model type counts.
    """
    config_path = path.parent / "config.json"
    if not config_path.is_file() or config_path.stat().st_size > MAX_CONFIG_BYTES:
        return {}
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        notes.append(f"config.json beside the file is unreadable ({error}); not used")
        return {}
    if not isinstance(config, dict) or not {"architecture", "model_type"} & set(config):
        return {}
    notes.append("config.json beside the file used")
    return {"config": config}
