"""Settings of the version before: understood for one version, each with a word on its new name.

What became of a setting is a row of a table: it has another name (`Moved`), several became one
(`Merged`), a value has another name (`Reworded`), or it is gone (`Removed`). A gone setting that stands
at its old default asks for nothing and is left out; at any other value it is refused, since the result
would be another.
"""

import dataclasses
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from efn_compose.settings.build import find_unknown, types_of
from efn_compose.settings.values import NONE_WORD, show

Tables = dict[str, Any]
_REFERENCE = re.compile(r"\{([a-z_]+)\.([a-z_]+)\}")


class OldSettingWarning(FutureWarning):
    """A configuration uses the name that a setting had one version ago."""


@dataclass(frozen=True)
class Moved:
    """A setting with another name.

    Args:
        old: "section.key".
        new: "section.key"; "{section.key}" in it stands for the value of that setting.
        default: What it was where nothing was said.
        refuse: Returns why a value cannot be taken over, nothing where it can.
    """

    old: str
    new: str
    default: Any
    refuse: Callable[[Any], str] = lambda value: ""


@dataclass(frozen=True)
class Merged:
    """Settings that are one now.

    Args:
        old: "section.key" of each, with its default.
        new: "section.key".
        values: The new value by the old ones, in their order.
        reason: Said of combinations that are not there.
    """

    old: Mapping[str, Any]
    new: str
    values: Mapping[tuple[Any, ...], Any]
    reason: str


@dataclass(frozen=True)
class Removed:
    """A setting that is gone.

    Args:
        old: "section.key".
        default: What it was where nothing was said.
        reason: Why it is gone, and what to do instead; a sentence.
    """

    old: str
    default: Any
    reason: str


@dataclass(frozen=True)
class Reworded:
    """A setting of which values have other names.

    Args:
        name: "section.key".
        values: Today's value by the old one.
    """

    name: str
    values: Mapping[str, str]


Row = Moved | Merged | Reworded | Removed


@dataclass
class Translation:
    """Tables in today's names.

    Args:
        tables: Values by key by section, all sources together.
        notes: What a person should change, a sentence each.
        problems: What cannot be taken over, a sentence each.
    """

    tables: Tables
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def old_types(rows: Sequence[Row], schema: type) -> dict[str, Any]:
    """Return the types of all old settings by name, for values that are typed as words."""
    found: dict[str, Any] = {}
    for row in rows:
        if isinstance(row, Reworded):
            continue  # its name is today's
        if isinstance(row, Merged):
            found |= {name: type(default) for name, default in row.old.items()}
        elif isinstance(row.default, tuple):
            found[row.old] = tuple[str, ...]
        else:
            found[row.old] = type(row.default)
    return found


def translate(
    sources: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    schema: type,
    *,
    is_stored: bool = False,
) -> Translation:
    """Put tables into today's names, later sources over earlier ones.

    Args:
        sources: Tables as they were read, such as those of a file and of the command line.
        rows: What became of each old setting.
        schema: A dataclass of dataclasses, with today's names.
        is_stored: The tables list every setting of a run that was made, those without effect too;
            nobody asked for these, so they are left out whatever they say.
    """
    found = Translation({})
    layers = [_copied(tables) for tables in sources]
    for row in rows:
        if isinstance(row, Merged):
            _merge(row, layers, found)
    settled = _Settled(schema, layers)
    for layer in layers:
        for row in rows:
            if isinstance(row, Removed):
                _remove(row, layer, found)
            elif isinstance(row, Reworded):
                _reword(row, layer, found)
            elif isinstance(row, Moved):
                _move(row, layer, settled, found, is_stored=is_stored)
    for layer in layers:
        for section, table in layer.items():
            if isinstance(table, dict) and isinstance(found.tables.get(section), dict):
                found.tables[section] = {**found.tables[section], **table}
            else:
                found.tables[section] = table
    return found


class _Settled:
    """Values of today's settings, over all sources."""

    def __init__(self, schema: type, layers: Sequence[Tables]) -> None:
        self.schema, self._layers = schema, layers

    @cached_property
    def _defaults(self) -> Any:
        return self.schema()

    def value(self, section: str, key: str) -> Any:
        """Return a setting's value; its default where nobody says or what is said is no choice."""
        default = getattr(getattr(self._defaults, section), key)
        said = [v for layer in self._layers if (v := _get(layer, f"{section}.{key}")) is not None]
        return said[-1] if said and said[-1] in self.choices(section, key) else default

    def choices(self, section: str, key: str) -> tuple[Any, ...]:
        """Return what a setting may be."""
        kind = types_of(self.schema)[section]
        setting = next(item for item in dataclasses.fields(kind) if item.name == key)
        return setting.metadata.get("choices") or typing.get_args(types_of(kind)[key])

    def filled(self, name: str) -> str:
        """Return a name with values in place of "{section.key}"."""
        return _REFERENCE.sub(lambda found: str(self.value(*found.groups())), name)

    def readers(self, name: str) -> dict[str, str]:
        """Return by value of the setting in braces the names that exist for it."""
        reference = _REFERENCE.search(name)
        if reference is None:
            return {}
        filled = {str(c): _REFERENCE.sub(str(c), name) for c in self.choices(*reference.groups())}
        return {choice: full for choice, full in filled.items() if self.knows(full)}

    def reference(self, name: str) -> str:
        """Return the setting in braces and its value, in words."""
        pairs = [tuple(found) for found in _REFERENCE.findall(name)]
        return ", ".join(f"{'.'.join(pair)} = {show(self.value(*pair))}" for pair in pairs)

    def knows(self, name: str) -> bool:
        """Return whether there is a setting of that name."""
        return not find_unknown(self.schema, *name.split("."))


def _merge(row: Merged, layers: Sequence[Tables], found: Translation) -> None:
    given: dict[str, Any] = {}
    for layer in layers:
        given |= {name: _take(layer, name) for name in row.old if _get(layer, name) is not None}
    if not given:
        return
    names = " and ".join(given)
    if any(_get(layer, row.new) is not None for layer in layers):
        found.problems.append(_both(names, row.new))
        return
    values = tuple(given.get(name, default) for name, default in row.old.items())
    said = ", ".join(f"{name} = {show(value)}" for name, value in given.items())
    try:
        new = row.values[values]
    except (KeyError, TypeError):
        found.problems.append(f"{said}: {row.reason}")
        return
    _put(layers[0], row.new, new)
    found.notes += [f"{name} is {row.new} = {show(new)} now. {_WORD}" for name in given]


def _move(
    row: Moved, layer: Tables, settled: _Settled, found: Translation, *, is_stored: bool
) -> None:
    if _get(layer, row.old) is None:
        return
    new = settled.filled(row.new)
    if new == row.old:
        return
    value = _take(layer, row.old)
    if not settled.knows(new):
        if is_stored:
            return
        if _same(value, row.default):
            found.notes.append(f"{row.old} has no effect here and is left out. {_WORD}")
            return
        readers = settled.readers(row.new)
        words = ", ".join(f'"{choice}" (as {name})' for choice, name in readers.items())
        found.problems.append(
            f"{row.old} = {show(value)} has no effect with {settled.reference(row.new)}: it is read "
            f"by {words} only. Remove {row.old}, or set one of these."
        )
    elif problem := row.refuse(value):
        found.problems.append(f"{row.old} = {show(value)}: {problem}")
    elif _get(layer, new) is not None:
        found.problems.append(_both(row.old, new))
    else:
        _put(layer, new, value)
        found.notes.append(f"{row.old} is {new} now. {_WORD}")


def _reword(row: Reworded, layer: Tables, found: Translation) -> None:
    value = _get(layer, row.name)
    if isinstance(value, str) and value in row.values:
        new = row.values[value]
        _put(layer, row.name, new)
        found.notes.append(f"{row.name} = {show(value)} is {show(new)} now. {_VALUE_WORD}")


def _remove(row: Removed, layer: Tables, found: Translation) -> None:
    if _get(layer, row.old) is None:
        return
    value = _take(layer, row.old)
    if _same(value, row.default):
        found.notes.append(f"{row.old} is gone, and left out since it has its old default. {_WORD}")
    else:
        found.problems.append(f"{row.old} = {show(value)} cannot be had any more. {row.reason}")


_WORD = "The old name works in this version only."
_VALUE_WORD = "The old value works in this version only."


def _both(old: str, new: str) -> str:
    return f"{old} and {new} say the same and are both given. {new} is the name: remove {old}."


def _same(value: object, default: object) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list | tuple) and tuple(value) == default
    if default is None:
        return value in (None, NONE_WORD)
    return value == default and isinstance(value, bool) == isinstance(default, bool)


def _copied(tables: Mapping[str, Any]) -> Tables:
    return {k: dict(v) if isinstance(v, Mapping) else v for k, v in tables.items()}


def _get(tables: Mapping[str, Any], name: str) -> Any:
    section, _, key = name.partition(".")
    table = tables.get(section)
    return table.get(key) if isinstance(table, dict) else None


def _take(tables: Tables, name: str) -> Any:
    section, _, key = name.partition(".")
    value = tables[section].pop(key)
    if not tables[section]:
        del tables[section]
    return value


def _put(tables: Tables, name: str, value: object) -> None:
    section, _, key = name.partition(".")
    table = tables.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = value
