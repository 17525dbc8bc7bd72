"""Finding the dialect of a checkpoint by its names and metadata."""

import difflib
from collections.abc import Sequence

from converters.registry import CONVERTERS, DIALECT_NAMES
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Dialect
from efn_compose.errors import AmbiguousCheckpointError, ConfigError, ConversionError
from efn_compose.store.weights.weight_file import is_weight_file


def candidate_dialects(raw: RawCheckpoint, arch: str | None = None) -> list[Dialect]:
    """Return every dialect that recognises a checkpoint, in the registry's order.

    Args:
        raw: The checkpoint.
        arch: `--arch`; a name that only one library uses decides for that one.
    """
    fits = [
        dialect
        for dialect in CONVERTERS.values()
        if raw.container in dialect.containers and dialect.recognise(raw) and dialect.offers(raw)
    ]
    claiming = [dialect for dialect in fits if arch is not None and dialect.claims(arch)]
    return claiming or fits


def chosen_dialect(
    raw: RawCheckpoint, name: str | None, candidates: Sequence[Dialect] | None = None
) -> Dialect:
    """Return the named dialect, or the only one that recognises the checkpoint.

    Args:
        raw: The checkpoint.
        name: Of the dialect that was asked for, None to have it recognised.
        candidates: What `candidate_dialects` returned, where the caller has asked already.

    Raises:
        ConfigError: There is no dialect of that name.
        AmbiguousCheckpointError: Several recognise it; they are listed.
        ConversionError: None does, or not the named one.
    """
    if name is not None:
        if name not in CONVERTERS:
            close = difflib.get_close_matches(name, DIALECT_NAMES, n=2)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise ConfigError(f"Unknown dialect {name!r}.{hint} Known: {', '.join(DIALECT_NAMES)}.")
        dialect = CONVERTERS[name]
        if raw.container in dialect.containers and dialect.recognise(raw):
            return dialect
        first = ", ".join(list(raw.tensors)[:5]) or "none"
        raise ConversionError(
            f"{raw.path}: not a {name} checkpoint. {dialect.title} files are "
            f"{', '.join(sorted(dialect.containers))} with other tensor names; this is a "
            f"{raw.container} file with {len(raw.tensors)} tensors: {first}, ... Leave --dialect out "
            "to have it recognised."
        )
    candidates = candidate_dialects(raw) if candidates is None else candidates
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = ", ".join(f"{dialect.name} ({dialect.title})" for dialect in candidates)
        raise AmbiguousCheckpointError(
            f"{raw.path}: the tensor names fit several dialects: {names}. They run the same "
            "tensors differently; choose one with --dialect."
        )
    if is_weight_file(raw.path):
        raise ConversionError(
            f"{raw.path}: a weight file of efn_compose, which needs no conversion. Name it wherever "
            "weights or donors are asked for; efn-compose inspect describes it."
        )
    first = ", ".join(list(raw.tensors)[:5]) or "none"
    raise ConversionError(
        f"{raw.path}: no dialect recognises these tensor names ({len(raw.tensors)} tensors: "
        f"{first}, ...) in a {raw.container} file. Known dialects: {', '.join(DIALECT_NAMES)}. "
        "It is another network, or its tensors were renamed."
    )
