"""Differences of two sets of weights: wiring, conventions, tensors that only one has, and values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec
from efn_compose.donors import Donor

#: Tensors named one by one in words; JSON has all of them.
_NAMED = 10


@dataclass(frozen=True)
class TensorDifference:
    """One tensor that both have.

    Args:
        name: Canonical name.
        relative: Norm of the difference over the norm of the first; 0 where equal, infinite
            where the first is all zeros.
        cosine: Of the two as vectors, -1 to 1; NaN where one is all zeros.
    """

    name: str
    relative: float
    cosine: float


@dataclass(frozen=True)
class WeightComparison:
    """The differences between two sets of weights.

    Args:
        conventions: By field of architecture and conventions, the two values where they differ:
            all that decides a function beside the tensors.
        only_first: Names of tensors that the second lacks.
        only_second: Names of tensors that the first lacks.
        other_shape: Shapes by name where they differ.
        tensors: All others, in network order.
    """

    conventions: Mapping[str, tuple[Any, Any]]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    other_shape: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    tensors: tuple[TensorDifference, ...]

    @property
    def changed(self) -> tuple[TensorDifference, ...]:
        """Tensors that are not equal bit for bit, those that differ most first."""
        found = [one for one in self.tensors if one.relative > 0]
        return tuple(sorted(found, key=lambda one: -one.relative))

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {
            "conventions": {key: list(pair) for key, pair in self.conventions.items()},
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "other_shape": {key: [list(s) for s in pair] for key, pair in self.other_shape.items()},
            "equal_tensors": len(self.tensors) - len(self.changed),
            "changed_tensors": [
                {"name": one.name, "relative": _finite(one.relative), "cosine": _finite(one.cosine)}
                for one in self.changed
            ],
        }

    def words(self) -> str:
        """Return the differences as lines for people."""
        lines = [
            f"  {key}: {one} against {other}" for key, (one, other) in self.conventions.items()
        ]
        for title, names in (("first", self.only_first), ("second", self.only_second)):
            if names:
                lines.append(f"  only in the {title}: {_listed(names)}")
        if self.other_shape:
            shapes = [f"{name} {one} {two}" for name, (one, two) in self.other_shape.items()]
            lines.append(f"  of another shape: {_listed(shapes)}")
        changed = self.changed
        lines.append(f"  equal bit for bit: {len(self.tensors) - len(changed)} tensors")
        if changed:
            lines.append(f"  changed: {len(changed)} tensors; difference over norm, and cosine")
            lines += [
                f"    {one.name:<44} {one.relative:9.3g}  {one.cosine:7.4f}"
                for one in changed[:_NAMED]
            ]
            if len(changed) > _NAMED:
                lines.append(f"    and {len(changed) - _NAMED} more that differ less")
        return "\n".join(lines)


def compare_weights(first: Donor, second: Donor) -> WeightComparison:
    """Compare two sets of weights tensor by tensor, of equal networks or not, all parts included.

    Example:
        >>> compare_weights(donor, donor).changed  # doctest: +SKIP
        ()
    """
    one, two = first.all_tensors, second.all_tensors
    shared = [name for name in one if name in two]
    shapes = {name: (one[name].shape, two[name].shape) for name in shared}
    return WeightComparison(
        conventions=_different_fields(first, second),
        only_first=tuple(name for name in one if name not in two),
        only_second=tuple(name for name in two if name not in one),
        other_shape={name: pair for name, pair in shapes.items() if pair[0] != pair[1]},
        tensors=tuple(
            _difference(name, one[name], two[name])
            for name in shared
            if one[name].shape == two[name].shape
        ),
    )


def _difference(name: str, first: np.ndarray, second: np.ndarray) -> TensorDifference:
    a, b = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
    norm, other = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    distance = float(np.linalg.norm(a - b))
    if not distance:
        return TensorDifference(name, 0.0, 1.0 if norm else float("nan"))
    cosine = float(a @ b / (norm * other)) if norm and other else float("nan")
    return TensorDifference(name, distance / norm if norm else float("inf"), cosine)


def _different_fields(first: Donor, second: Donor) -> dict[str, tuple[Any, Any]]:
    pairs: dict[str, tuple[Any, Any]] = {"network": (first.spec.variant, second.spec.variant)}
    pairs |= _wiring(first.spec, second.spec)
    for name in dict.fromkeys((*first.parts, *second.parts)):
        pairs[name] = _settings(first, name), _settings(second, name)
    one, two = first.conventions.to_json(), second.conventions.to_json()
    pairs |= {key: (one.get(key), two.get(key)) for key in one}
    pairs["classes"] = (first.classes, second.classes)
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _wiring(first: ArchSpec, second: ArchSpec) -> dict[str, tuple[Any, Any]]:
    """Return what no tensor shows of two networks, by field and block."""
    pairs: dict[str, tuple[Any, Any]] = {
        field: (getattr(first, field), getattr(second, field))
        for field in ("stem_stride", "normalisation")
    }
    others = {block.name: block for block in second.blocks}
    for block in first.blocks:
        other = others.get(block.name, block)
        pairs[f"{block.name} stride"] = block.stride, other.stride
        pairs[f"{block.name} has_skip"] = block.has_skip, other.has_skip
    return pairs


def _settings(donor: Donor, part: str) -> dict[str, Any] | None:
    """Return how a further part is built, None where there is none."""
    return dict(donor.parts[part].settings) if part in donor.parts else None


def _finite(value: float) -> float | None:
    """Return a number as JSON has it."""
    return value if math.isfinite(value) else None


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
