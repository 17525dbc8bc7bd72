"""Applying a name table: every tensor used exactly once, or one error that lists them all."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.arch import HEAD_LAYER, ArchSpec, TensorSpec, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.containers.values import all_finite
from efn_compose.checkpoints.dialects.dialect import IgnoreRule, Row
from efn_compose.checkpoints.dialects.layouts import LAYOUTS
from efn_compose.errors import ConversionError, UnmappedTensorError, describe_problems


@dataclass(frozen=True)
class MappingReport:
    """The fate of every tensor.

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


def classes_in(raw: RawCheckpoint, rows: Iterable[Row]) -> int | None:
    """Return the width of the classifier in a checkpoint, or None where it has none.

    Args:
        raw: The checkpoint.
        rows: Its name table, with a classifier.
    """
    for row in rows:
        if row.canonical == f"{HEAD_LAYER}/kernel" and row.foreign in raw.tensors:
            shape = LAYOUTS[row.layout].canonical_shape(raw.tensors[row.foreign].shape)
            return None if shape is None else int(shape[-1])
    return None


@dataclass(frozen=True)
class MatchedTensors(Mapping[str, np.ndarray]):
    """A checkpoint's tensors under canonical names, read when asked for.

    Indexing checks the values; `read` leaves that to the caller.

    Args:
        raw: The checkpoint.
        rows: The line of the name table for each canonical name.
        expected: Each tensor's record by canonical name, in network order.
    """

    raw: RawCheckpoint
    rows: Mapping[str, Row]
    expected: Mapping[str, TensorSpec]

    def __iter__(self) -> Iterator[str]:
        return iter(self.expected)

    def __len__(self) -> int:
        return len(self.expected)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one tensor, float32; raise with all bad tensors if this one is bad."""
        values = self.read(name)
        if self._problem(name, values):
            self.read_all()
        return values

    def read_all(self) -> dict[str, np.ndarray]:
        """Return all tensors; memory peaks at the result plus one tensor.

        Raises:
            ConversionError: Values are not finite, or variances negative; all are listed.
        """
        tensors, problems = {}, []
        for name in self.expected:
            tensors[name] = self.read(name)
            if problem := self._problem(name, tensors[name]):
                problems.append(problem)
        if problems:
            raise ConversionError(
                describe_problems(
                    f"{self.raw.path}: {len(problems)} tensors hold values no trained network has.",
                    problems,
                    "The file is damaged or its training diverged; nothing was converted.",
                )
            )
        return tensors

    def read(self, name: str) -> np.ndarray:
        """Return one tensor, float32, as it is in the file."""
        row = self.rows[name]
        values = np.empty(self.expected[name].shape, np.float32)
        self.raw.tensors[row.foreign].copy_to(LAYOUTS[row.layout].foreign_view(values))
        return values

    def _problem(self, name: str, values: np.ndarray) -> str:
        where = f"{self.rows[name].foreign} ({name})"
        if not all_finite(values):
            count = int(values.size - np.isfinite(values).sum())
            return f"{where}: {count} values are NaN or infinite"
        is_variance = self.expected[name].role == "moving_variance" and values.size
        return (
            f"{where}: negative variance {values.min():g}"
            if is_variance and values.min() < 0
            else ""
        )


def match_tensors(
    raw: RawCheckpoint,
    rows: Iterable[Row],
    spec: ArchSpec,
    classes: int | None,
    ignore: Iterable[IgnoreRule] = (),
) -> tuple[MatchedTensors, MappingReport]:
    """Look at a checkpoint through a name table; names and shapes are compared, no value is read.

    Args:
        raw: The checkpoint.
        rows: Its name table.
        spec: The network.
        classes: Width of the classifier, None for none.
        ignore: Foreign tensors that may be left over.

    Returns:
        The tensors by canonical name in network order, and the report.

    Raises:
        UnmappedTensorError: A tensor is missing, left over, used twice, or of
            another shape; all are listed.
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
    rows_used = [by_canonical[name] for name in expected]
    return MatchedTensors(raw, by_canonical, expected), MappingReport(
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


def _count(items: Iterable[str]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return tuple(counts.items())
