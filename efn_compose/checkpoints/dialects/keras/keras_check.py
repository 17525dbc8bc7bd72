"""A checkpoint's stored configuration against the network that its tensors show."""

import dataclasses
from collections.abc import Iterable, Sequence

from efn_compose.arch import HEAD_LAYER, ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Prepared, Row
from efn_compose.checkpoints.dialects.keras.keras_config import config_layers
from efn_compose.checkpoints.dialects.keras.keras_head import HEAD_NAME, TAKEN
from efn_compose.checkpoints.dialects.keras.keras_trace import Trace, trace_network
from efn_compose.checkpoints.dialects.mapping import classes_in


def trace_checkpoint(
    raw: RawCheckpoint, rows: Sequence[Row], spec: ArchSpec, accepted: Iterable[str] = ()
) -> Trace | None:
    """Follow a checkpoint's configuration; None where it has none that lists the stem.

    Args:
        raw: The checkpoint under the dialect's names.
        rows: Its name table, with a classifier.
        spec: Its network.
        accepted: Fields and layers that the user knows to change nothing.
    """
    operations = {}
    heads = _head_names(raw, rows)
    for row in rows:
        layer, operation = row.foreign.rpartition("/")[0], row.canonical.rpartition("/")[0]
        if operation != HEAD_LAYER:
            operations[layer] = operation
        elif heads:
            operations[str(raw.metadata.get(HEAD_NAME, layer))] = operation
    names = {layer.name for layer in config_layers(raw)}
    stems = {layer for layer, operation in operations.items() if operation == "stem_conv"}
    if not stems & names:
        return None
    config = raw.metadata["model_config"]
    return trace_network(config, spec, operations, accepted, classes_in(raw, rows))


def with_traced_head(prepared: Prepared, rows: Sequence[Row], trace: Trace) -> Prepared:
    """Return a checkpoint without a dense layer of which the configuration shows another use.

    Args:
        prepared: The checkpoint under the dialect's names.
        rows: Its name table, with a classifier.
        trace: What following its configuration has found.
    """
    notes = (*prepared.raw.notes, *trace.notes)
    if trace.head_problem is None:
        return dataclasses.replace(prepared, raw=dataclasses.replace(prepared.raw, notes=notes))
    notes = tuple(note for note in notes if not note.startswith(TAKEN))
    raw = dataclasses.replace(prepared.raw, notes=notes)
    names = _head_names(raw, rows)
    reason = f"classifier that {trace.head_problem}; the backbone comes without it"
    tensors = {name: tensor for name, tensor in raw.tensors.items() if name not in names}
    return dataclasses.replace(
        prepared,
        raw=dataclasses.replace(raw, tensors=tensors),
        ignored=(*prepared.ignored, *((name, reason) for name in names)),
    )


def _head_names(raw: RawCheckpoint, rows: Sequence[Row]) -> list[str]:
    prefix = f"{HEAD_LAYER}/"
    return [
        row.foreign
        for row in rows
        if row.canonical.startswith(prefix) and row.foreign in raw.tensors
    ]
