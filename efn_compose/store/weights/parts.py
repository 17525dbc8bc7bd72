"""Further parts of a weight file: what stands on a backbone beside its classifier."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np

from efn_compose.arch.inventory import Axis, Role, TensorSpec
from efn_compose.errors import FurtherPartError

#: Parts that every network has names for: its own tensors, not further ones.
OWN_PARTS = ("backbone", "head")

_PART = re.compile(r"[a-z][a-z0-9]*")
_LAYER = re.compile(r"[a-z0-9_]+")
_FIXED = Axis(None, "fixed")
_ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True, eq=False)
class Part:
    """A further part of a network, such as a decoder or a projector.

    Args:
        tensors: Arrays by canonical name, `layer/role`; each layer's name begins with the part's
            and an underscore, such as `decoder_stage3_conv/kernel`.
        settings: How the part is built; JSON values.

    Example:
        >>> kernel = np.zeros((1, 1, 8, 4), np.float32)
        >>> Part({"decoder_up1_conv/kernel": kernel}, {"classes": 4}).settings
        {'classes': 4}
    """

    tensors: Mapping[str, np.ndarray]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def header(self) -> "PartHeader":
        """What a weight file says of the part."""
        return PartHeader({name: v.shape for name, v in self.tensors.items()}, self.settings)


@dataclass(frozen=True)
class PartHeader:
    """What a weight file says of a further part.

    Args:
        shapes: Shape by canonical name, in the order of the file.
        settings: How the part is built; JSON values.
    """

    shapes: Mapping[str, tuple[int, ...]]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Every tensor of the part."""
        return tuple(_tensor(name, shape) for name, shape in self.shapes.items())

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        shapes = [[name, list(shape)] for name, shape in self.shapes.items()]
        return {"tensors": shapes, "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "PartHeader":
        """Return the header of `to_json`; `part_problems` says whether it makes sense."""
        return cls({name: tuple(shape) for name, shape in fields["tensors"]}, fields["settings"])


def part_problems(parts: Mapping[str, PartHeader], taken: Iterable[str]) -> list[str]:
    """Return what is wrong with the names and shapes of further parts, a line each.

    Args:
        parts: By name.
        taken: Layers of the network itself.
    """
    problems, layers = [], set(taken)
    for part, header in parts.items():
        if not _PART.fullmatch(part) or part in OWN_PARTS:
            problems.append(
                f"- part {part!r}: a name of small letters and digits is needed, other than "
                f"{' and '.join(OWN_PARTS)}"
            )
            continue
        if not header.shapes:
            problems.append(f"- part {part!r}: it has no tensors")
        for name, shape in header.shapes.items():
            layer, _, role = name.partition("/")
            if not (layer.startswith(f"{part}_") and _LAYER.fullmatch(layer) and role in _ROLES):
                problems.append(
                    f"- {name}: a tensor of {part!r} is called {part}_LAYER/ROLE; roles are "
                    f"{', '.join(_ROLES)}"
                )
            elif layer in layers:
                problems.append(f"- {name}: the network has a layer of that name")
            if not all(isinstance(length, int) and length > 0 for length in shape):
                problems.append(f"- {name}: shape {shape}")
    return problems


def refuse_parts(name: str, parts: Iterable[str], doing: str) -> None:
    """Raise an error where weights have further parts that an operation would lose or spoil.

    Args:
        name: Of the weights.
        parts: Names of their further parts.
        doing: What is being done, such as "aligning".

    Raises:
        FurtherPartError: There are any; the message says how to take them off.
    """
    found = list(parts)
    if found:
        steps = "".join(f".without_part({part!r})" for part in found)
        verb = "efn-compose detach FILE -o OUT.h5, or " if found == ["decoder"] else ""
        raise FurtherPartError(
            f"{name} has further parts beside its backbone ({', '.join(map(repr, found))}), and "
            f"{doing} cannot take them along. Take them off first: {verb}load_donor(FILE){steps}."
        )


def _tensor(name: str, shape: tuple[int, ...]) -> TensorSpec:
    layer, _, role = name.partition("/")
    return TensorSpec(layer, cast(Role, role), shape, (_FIXED,) * len(shape))


def part_names(classes: int | None, parts: Iterable[str]) -> tuple[str, ...]:
    """Return the names of all parts of a network: backbone, head where there is one, further ones.

    Example:
        >>> part_names(10, ["decoder"])
        ('backbone', 'head', 'decoder')
    """
    return (OWN_PARTS if classes is not None else OWN_PARTS[:1]) + tuple(parts)
