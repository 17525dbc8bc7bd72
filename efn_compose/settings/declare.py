"""Declaring settings and sections: default, help, bounds, and when they are read.

A section is a frozen dataclass whose fields are made by `setting`; a configuration is a frozen
dataclass whose fields are made by `section`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from efn_compose.settings.values import show


@dataclass(frozen=True)
class When:
    """The condition under which a setting has an effect: another setting has one of these values.

    Args:
        name: "section.key", or "key" of the same section. It may be a property of the section.
        values: The values; none: anything but 0, false and empty.
        words: How to say it. Needed for a property; made from name and values otherwise.

    Example:
        >>> str(When("executor.kind", ("auto", "ray")))
        'executor.kind = "auto" or "ray"'
    """

    name: str
    values: tuple[Any, ...] = ()
    words: str = ""

    def __str__(self) -> str:
        if self.words:
            return self.words
        if not self.values:
            return f"{self.name} set"
        return f"{self.name} = {' or '.join(map(show, self.values))}"


def setting(
    default: object,
    text: str = "",
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
    read_when: When | Sequence[When] = (),
) -> Any:
    """Declare a field of a section.

    Args:
        default: Value if nothing is given.
        text: The help text of the setting, a few words.
        minimum: Smallest allowed number.
        maximum: Largest allowed number.
        choices: Allowed texts, where they are not known to the type.
        read_when: The setting has an effect if one of these holds; without any, always.
    """
    metadata: dict[str, Any] = {"help": text} if text else {}
    metadata |= {} if minimum is None else {"minimum": minimum}
    metadata |= {} if maximum is None else {"maximum": maximum}
    metadata |= {"choices": tuple(choices)} if choices else {}
    return field(default=default, metadata=metadata | _conditions(read_when))


def section(kind: type, *, read_when: When | Sequence[When] = ()) -> Any:
    """Declare a section of a configuration.

    Args:
        kind: The section's dataclass; its defaults are the section's.
        read_when: As for a setting.
    """
    return field(default_factory=kind, metadata=_conditions(read_when))


def _conditions(read_when: When | Sequence[When]) -> dict[str, Any]:
    found = (read_when,) if isinstance(read_when, When) else tuple(read_when)
    return {"read_when": found} if found else {}
