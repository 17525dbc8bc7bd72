"""Applying a name table: every tensor used exactly once, or one error that lists them all."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.arch import HEAD_LAYER, ArchSpec, inventory
from efn_compose.checkpoints.dialect import Dialect, IgnoreRule, Row
from efn_compose.checkpoints.layouts import LAYOUTS
from efn_compose.checkpoints.raw import RawCheckpoint
from efn_compose.errors import ConversionError, UnmappedTensorError, describe_problems


@dataclass(frozen=True)
class MappingReport:
    """What became of every tensor.

    Args:
        mapped: (foreign, canonical) of tensors copied as they were.
        transposed: (foreign, canonical, layout) of tensors whose axes were reordered.
        folded: One line per arithmetic change.
        ignored: (foreign, reason).
        missing: Canonical names that the file lacks; empty in any conversion that succeeded.
        dtypes: Stored types, with the number of tensors of each.
    """

    mapped: tuple[tuple[str, str], ...]
    transposed: tuple[tuple[str, str, str], ...]
    folded: tuple[str, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    dtypes: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {
            "mapped": [list(pair) for pair in self.mapped],
            "transposed": [list(triple) for triple in self.transposed],
            "folded": list(self.folded),
            "ignored": [list(pair) for pair in self.ignored],
            "missing": list(self.missing),
            "dtypes": dict(self.dtypes),
        }


def classes_in(raw: RawCheckpoint, dialect: Dialect, spec: ArchSpec) -> int | None:
    """Return the width of the classifier in a checkpoint, or None where it has none."""
    for row in dialect.rows(spec, 1, raw):
        if row.canonical == f"{HEAD_LAYER}/kernel" and row.foreign in raw.tensors:
            shape = LAYOUTS[row.layout].canonical_shape(raw.tensors[row.foreign].shape)
            return None if shape is None else int(shape[-1])
    return None


def map_tensors(
    raw: RawCheckpoint,
    rows: Iterable[Row],
    spec: ArchSpec,
    classes: int | None,
    ignore: Iterable[IgnoreRule] = (),
) -> tuple[dict[str, np.ndarray], MappingReport]:
    """Read a checkpoint through a name table.

    Names and shapes are compared before any value is read. Tensors are read one
    at a time, so that memory peaks at the result plus one tensor.

    Args:
        raw: The checkpoint.
        rows: Its name table.
        spec: The network.
        classes: Width of the classifier, None for none.
        ignore: Foreign tensors that may be left over.

    Returns:
        float32 arrays by canonical name in network order, and the report.

    Raises:
        UnmappedTensorError: A tensor is missing, left over, used twice, or of
            another shape; all are listed.
        ConversionError: Values are not finite, or variances negative; all are listed.
    """
    expected = {tensor.name: tensor for tensor in inventory(spec, classes)}
    by_canonical, problems = _index(rows, expected)
    used: dict[str, Row] = {}
    missing = []
    for name, tensor in expected.items():
        row = by_canonical.get(name)
        if row is None or row.foreign not in raw.tensors:
            missing.append(name)
            wanted = f" (foreign {row.foreign!r})" if row else ""
            problems.append(f"- missing: {name}{wanted}")
            continue
        foreign = raw.tensors[row.foreign]
        shape = LAYOUTS[row.layout].canonical_shape(foreign.shape)
        if shape != tensor.shape:
            problems.append(
                f"≠ shape: {row.foreign} {foreign.shape} as {row.layout} gives {shape}, "
                f"{name} needs {tensor.shape}"
            )
        if row.foreign in used:
            problems.append(f"≠ used twice: {row.foreign}")
        used[row.foreign] = row
    ignored = []
    rules = [(re.compile(rule.pattern), rule.reason) for rule in ignore]
    for name in raw.tensors:
        if name in used:
            continue
        reason = next((reason for pattern, reason in rules if pattern.fullmatch(name)), None)
        if reason is None:
            problems.append(f"+ unknown: {name} {raw.tensors[name].shape}")
        else:
            ignored.append((name, reason))
    if problems:
        raise UnmappedTensorError(
            describe_problems(
                f"{raw.path}: {len(problems)} tensors do not fit the network {spec.variant!r} "
                f"(stages {spec.stage_repeats}, widths {spec.stage_channels}).",
                problems,
                "Nothing was converted. If the file is of another dialect or variant, name it "
                "with --dialect and --arch.",
            )
        )
    tensors = _read_values(raw, by_canonical, expected)
    rows_used = [by_canonical[name] for name in expected]
    return tensors, MappingReport(
        mapped=tuple((r.foreign, r.canonical) for r in rows_used if LAYOUTS[r.layout].is_identity),
        transposed=tuple(
            (r.foreign, r.canonical, r.layout)
            for r in rows_used
            if not LAYOUTS[r.layout].is_identity
        ),
        ignored=tuple(ignored),
        missing=tuple(missing),
        dtypes=_count(raw.tensors[row.foreign].dtype for row in rows_used),
    )


def _index(rows: Iterable[Row], expected: Mapping[str, Any]) -> tuple[dict[str, Row], list[str]]:
    by_canonical: dict[str, Row] = {}
    problems = []
    for row in rows:
        if row.canonical not in expected:
            problems.append(f"+ the name table knows {row.canonical}, the network does not")
        elif row.canonical in by_canonical:
            problems.append(f"≠ the name table holds {row.canonical} twice")
        by_canonical[row.canonical] = row
    return by_canonical, problems


def _read_values(
    raw: RawCheckpoint, by_canonical: Mapping[str, Row], expected: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    tensors = {}
    problems = []
    for name, tensor in expected.items():
        row = by_canonical[name]
        # Allocated before the foreign array, whose memory is then free for the next one: the
        # other order leaves a hole behind every tensor, a tenth of the checkpoint in all.
        values = np.empty(tensor.shape, np.float32)
        array = LAYOUTS[row.layout].to_canonical(raw.tensors[row.foreign].load())
        values[...] = array.reshape(tensor.shape)
        del array
        if not _is_finite(values):
            count = int(values.size - np.isfinite(values).sum())
            problems.append(f"{row.foreign} ({name}): {count} values are NaN or infinite")
        elif tensor.role == "moving_variance" and values.size and values.min() < 0:
            problems.append(f"{row.foreign} ({name}): negative variance {values.min():g}")
        tensors[name] = values
    if problems:
        raise ConversionError(
            describe_problems(
                f"{raw.path}: {len(problems)} tensors hold values no trained network has.",
                problems,
                "The file is damaged or its training diverged; nothing was converted.",
            )
        )
    return tensors


def _is_finite(values: np.ndarray) -> bool:
    """Whether all values are finite; a sum shows NaN and infinity in a tenth of the time."""
    with np.errstate(over="ignore", invalid="ignore"):
        is_certain = bool(np.isfinite(np.add.reduce(values, axis=None)))
    return is_certain or bool(np.isfinite(values).all())


def _count(items: Iterable[str]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return tuple(counts.items())
