"""Nested TOML tables ↔ frozen dataclasses, for any dataclasses.

A configuration is a dataclass whose fields are the sections, themselves dataclasses whose
fields are the settings. Defaults, allowed values and bounds live in those dataclasses:
annotations `int`, `float`, `bool`, `str`, `Literal[...]`, `tuple[item, ...]` and
`... | None`; bounds in `field(metadata={"minimum": …, "maximum": …, "help": …})`.
"""

import dataclasses
import difflib
import functools
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from efn_compose.errors import ConfigError

#: How a setting that is None stands in a file; TOML has no null.
NONE_WORD = "none"


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ConfigError: Not TOML; the message has line and column.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None


def parse_override(text: str, schema: type) -> tuple[str, str, Any]:
    """Split "section.key=value" and read the value as the setting's type wants it.

    Strings need no quotes and lists no brackets: `data.source=digits`,
    `donors.files=a.h5,b.h5`.

    Raises:
        ConfigError: Not of that form, or the section or key is unknown.

    Example:
        >>> parse_override("search.population=40", RunConfig)  # doctest: +SKIP
        ('search', 'population', 40)
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    section, dot, key = name.partition(".")
    if not (equals and dot and section and key):
        raise ConfigError(f"{text!r}: expected section.key=value, such as search.population=40")
    problem = find_unknown(schema, section, key)
    if problem:
        raise ConfigError(problem)
    return section, key, _parse_word(value, _types(_types(schema)[section])[key])


def find_unknown(schema: type, section: str, key: str | None = None) -> str:
    """Return what is unknown about a section or key, with a suggestion; empty where known."""
    sections = _types(schema)
    if section not in sections:
        return f"[{section}] is no section.{_suggest(section, sections)}"
    keys = _types(sections[section])
    if key is None or key in keys:
        return ""
    places = [f"{other}.{key}" for other in sections if key in _types(sections[other])]
    hint = f" Did you mean {' or '.join(places)}?" if places else _suggest(key, keys, section)
    return f"{section}.{key} is no setting.{hint}"


def build(schema: type, tables: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Make the configuration from parsed tables; settings left out keep their defaults.

    Args:
        schema: A dataclass of dataclasses.
        tables: Values by key by section.

    Returns:
        The configuration (None where there are problems), and all problems.
    """
    problems: list[str] = []
    for section, table in tables.items():
        if not isinstance(table, dict):
            hint = _suggest_place(schema, section)
            problems.append(f"{section} stands outside a section.{hint}")
        elif unknown := find_unknown(schema, section):
            problems.append(unknown)
    sections = {}
    for section, kind in _types(schema).items():
        table = tables.get(section)
        values = table if isinstance(table, dict) else {}
        sections[section] = _build_section(schema, section, kind, values, problems)
    return (None if problems else schema(**sections)), problems


def find_problems(config: Any) -> list[str]:
    """Return everything wrong with a configuration made in Python: types, choices, bounds."""
    problems = []
    for section in dataclasses.fields(config):
        options = getattr(config, section.name)
        kinds = _types(type(options))
        for setting in dataclasses.fields(options):
            name = f"{section.name}.{setting.name}"
            _, problem = _check(
                name, kinds[setting.name], getattr(options, setting.name), setting.metadata
            )
            problems += [problem] if problem else []
    return problems


def dump(config: Any, *, with_help: bool = False) -> str:
    """Return a configuration as TOML, every setting written out, in the dataclasses' order.

    Args:
        config: A dataclass of dataclasses.
        with_help: Write each setting's help text as a comment above it.
    """
    lines = []
    for section in dataclasses.fields(config):
        lines += ["", f"[{section.name}]"] if lines else [f"[{section.name}]"]
        options = getattr(config, section.name)
        for setting in dataclasses.fields(options):
            if with_help and "help" in setting.metadata:
                lines.append(f"# {setting.metadata['help']}")
            lines.append(f"{setting.name} = {_to_toml(getattr(options, setting.name))}")
    return "\n".join(lines) + "\n"


def _build_section(
    schema: type, section: str, kind: type, table: Mapping[str, Any], problems: list[str]
) -> Any:
    kinds = _types(kind)
    metadata = {setting.name: setting.metadata for setting in dataclasses.fields(kind)}
    values = {}
    before = len(problems)
    for key, value in table.items():
        if key not in kinds:
            problems.append(find_unknown(schema, section, key))
            continue
        values[key], problem = _check(f"{section}.{key}", kinds[key], value, metadata[key])
        problems += [problem] if problem else []
    problems += [
        f"{section}.{setting.name} must be set"
        for setting in dataclasses.fields(kind)
        if setting.name not in table
        and setting.default is dataclasses.MISSING
        and setting.default_factory is dataclasses.MISSING
    ]
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except ConfigError as error:
        problems.append(f"[{section}]: {error}")
        return None


@functools.cache
def _types(schema: type) -> dict[str, Any]:
    hints = typing.get_type_hints(schema)
    return {item.name: hints[item.name] for item in dataclasses.fields(schema)}


def _check(name: str, kind: Any, value: Any, bounds: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the value in the setting's type, and what is wrong with it."""
    allowed = _describe(kind, bounds)
    checked, fits = _fit(kind, value)
    if fits and isinstance(checked, int | float) and not isinstance(checked, bool):
        low, high = bounds.get("minimum", -math.inf), bounds.get("maximum", math.inf)
        fits = math.isfinite(checked) and low <= checked <= high
    if fits:
        return checked, ""
    return value, f"{name}: allowed {allowed}. Received: {_show(value)}."


def _fit(kind: Any, value: Any) -> tuple[Any, bool]:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [item for item in typing.get_args(kind) if item is not types.NoneType]
        if value is None or value == NONE_WORD:
            return None, True
        return _fit(inner[0], value)
    if origin is typing.Literal:
        # By type too: True == 1, but is not the same setting.
        choices = typing.get_args(kind)
        return value, any(type(value) is type(choice) and value == choice for choice in choices)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return value, False
        items = [_fit(typing.get_args(kind)[0], item) for item in value]
        return tuple(item for item, _ in items), all(fits for _, fits in items)
    if kind is float and type(value) is int:
        return float(value), True
    return value, type(value) is kind


def _describe(kind: Any, bounds: Mapping[str, Any]) -> str:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        inner = next(item for item in typing.get_args(kind) if item is not types.NoneType)
        return f'{_describe(inner, bounds)}, or "{NONE_WORD}"'
    if origin is typing.Literal:
        return ", ".join(_show(choice) for choice in typing.get_args(kind))
    if origin is tuple:
        return f"a list, each item {_describe(typing.get_args(kind)[0], {})}"
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text in quotes",
    }
    low, high = bounds.get("minimum"), bounds.get("maximum")
    if low is not None and high is not None:
        return (
            f"{words[kind]} from {low:g} to {high:g}"
            if kind is float
            else (f"{words[kind]} from {low} to {high}")
        )
    if low is not None:
        return f"{words[kind]}, {low} or more"
    if high is not None:
        return f"{words[kind]}, {high} or less"
    return words[kind]


def _parse_word(word: str, kind: Any) -> Any:
    """Read a command-line value: as TOML where that fits the type, else as plain text."""
    try:
        value = tomllib.loads(f"value = {word}")["value"]
        if _fit(kind, value)[1]:
            return value
    except tomllib.TOMLDecodeError:
        value = word
    if _fit(kind, word)[1]:
        return word
    if typing.get_origin(kind) is tuple and not word.startswith("["):
        item = typing.get_args(kind)[0]
        return [_parse_word(part.strip(), item) for part in word.split(",") if part.strip()]
    return value


def _suggest(name: str, known: typing.Iterable[str], section: str = "") -> str:
    known = list(known)
    prefix = f"{section}." if section else ""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    if close:
        return f" Did you mean {prefix}{close[0]}?"
    return f" Allowed: {', '.join(known)}."


def _suggest_place(schema: type, key: str) -> str:
    sections = _types(schema)
    if key in sections:
        return f" Write it as a table: [{key}]."
    places = [f"{section}.{key}" for section in sections if key in _types(sections[section])]
    if places:
        return f" Did you mean {' or '.join(places)}?"
    return f" Put it below one of {', '.join(f'[{section}]' for section in sections)}."


def _show(value: Any) -> str:
    if isinstance(value, bool | str | int | float | list | tuple):
        return _to_toml(value)
    return repr(value)


def _to_toml(value: Any) -> str:
    if value is None:
        return f'"{NONE_WORD}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON escapes like TOML, but for DEL, which TOML wants escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return f"[{', '.join(_to_toml(item) for item in value)}]"
    return repr(value)
