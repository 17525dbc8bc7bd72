"""Fields that a library writes beside the weights: read, known to change nothing, or refused.

A field that may change the function of the network and that nobody here reads would make a
conversion wrong without a word. So each dialect lists the fields of its library; a present field
that is on no list, or has a value other than those allowed, is named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from efn_compose.errors import ConversionError, describe_problems


@dataclass(frozen=True)
class KnownFields:
    """The known fields that a library writes into one place.

    Args:
        read: Fields whose value the dialect honours, or compares with the tensors.
        harmless: Fields that never change the function of the network.
        allowed: Fields that may have these values only.

    Example:
        >>> known = KnownFields(harmless=frozenset({"crop_pct"}), allowed={"global_pool": ("avg",)})
        >>> known.problems({"crop_pct": 0.9, "global_pool": "max", "blur": 3}, "config.json")
        ["- config.json: global_pool = 'max'; allowed: 'avg'", '- config.json: blur = 3; nobody here \
knows this field']
    """

    read: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    allowed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def problems(
        self, fields: Mapping[str, Any], where: str, accepted: Iterable[str] = ()
    ) -> list[str]:
        """Return a line for every field that is neither read nor known to change nothing.

        Args:
            fields: Field name to value.
            where: What to call their place.
            accepted: Fields that the user knows to change nothing.
        """
        lines = []
        for name, value in fields.items():
            if name in self.read or name in self.harmless or name in accepted or is_unset(value):
                continue
            if name not in self.allowed:
                lines.append(f"- {where}: {name} = {value!r:.80}; nobody here knows this field")
            elif not any(_equal(value, other) for other in self.allowed[name]):
                choices = ", ".join(repr(other) for other in self.allowed[name])
                lines.append(f"- {where}: {name} = {value!r:.80}; allowed: {choices}")
        return lines


def is_unset(value: object) -> bool:
    """Return whether a value is what libraries write for a setting that nobody gave."""
    return value is None or value is False or (isinstance(value, (str, list, dict)) and not value)


def refuse_unknown(path: object, problems: list[str]) -> None:
    """Raise if fields beside the weights may change the network's function.

    Raises:
        ConversionError: There are problems; all are listed.
    """
    if problems:
        raise ConversionError(
            describe_problems(
                f"{path}: fields beside the weights may change the function of the network, and cannot be "
                "honoured.",
                problems,
                "If you know that a field changes nothing, add --accept FIELD.",
            )
        )


def _equal(value: object, other: object) -> bool:
    """Compare values; 1.0 equals 1, a list equals a tuple, True does not equal 1."""
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(value) == len(other) and all(map(_equal, value, other))
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
