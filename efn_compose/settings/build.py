"""Nested TOML tables ↔ frozen dataclasses, for any dataclasses.

A configuration is a dataclass whose fields are the sections, themselves dataclasses whose
fields are the settings. Defaults, allowed values and bounds live in those dataclasses:
annotations `int`, `float`, `bool`, `str`, `Literal[...]`, `tuple[item, ...]` and
`... | None`; the rest is said where a setting is declared (`declare.py`).
"""

import dataclasses
import difflib
import functools
import tomllib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from efn_compose.errors import ConfigError
from efn_compose.settings.unread import find_ignored, unread_sections, unread_settings
from efn_compose.settings.values import check_value, parse_word, to_toml

Section = TypeVar("Section")


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ConfigError: Not TOML; the message has line and column.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None


def parse_override(
    text: str, schema: type, old: Mapping[str, Any] | None = None
) -> tuple[str, str, Any]:
    """Split "section.key=value" and read the value as the setting's type wants it.

    Strings need no quotes and lists no brackets: `data.source=digits`,
    `donors.files=a.h5,b.h5`.

    Args:
        text: As it was typed.
        schema: A dataclass of dataclasses.
        old: Types of settings of the version before, by "section.key".

    Raises:
        ConfigError: Not of that form, or the section or key is unknown.

    Example:
        >>> parse_override("genetic.population=40", RunConfig)  # doctest: +SKIP
        ('genetic', 'population', 40)
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    section, dot, key = name.partition(".")
    if not (equals and dot and section and key):
        raise ConfigError(f"{text!r}: expected section.key=value, such as genetic.population=40")
    if old and name in old:
        return section, key, parse_word(value, old[name])
    problem = find_unknown(schema, section, key)
    if problem:
        raise ConfigError(problem)
    return section, key, parse_word(value, types_of(types_of(schema)[section])[key])


def override_name(text: str) -> str:
    """Return the setting that an override names, as `parse_override` understands it.

    Example:
        >>> override_name("donors.files = a.h5,b.h5")
        'donors.files'
    """
    return text.partition("=")[0].strip()


def find_unknown(schema: type, section: str, key: str | None = None) -> str:
    """Return the message about an unknown section or key, with a suggestion; empty if it is known."""
    sections = types_of(schema)
    if section not in sections:
        return f"[{section}] is no section.{_suggest(section, sections)}"
    keys = types_of(sections[section])
    if key is None or key in keys:
        return ""
    places = [f"{other}.{key}" for other in sections if key in types_of(sections[other])]
    hint = f" Did you mean {' or '.join(places)}?" if places else _suggest(key, keys, section)
    return f"{section}.{key} is no setting.{hint}"


def build(
    schema: type, tables: Mapping[str, Any], *, refuses_ignored: bool = True
) -> tuple[Any, list[str]]:
    """Make the configuration from parsed tables; settings left out keep their defaults.

    Args:
        schema: A dataclass of dataclasses.
        tables: Values by key by section.
        refuses_ignored: Whether a setting without effect is a problem.

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
    for section, kind in types_of(schema).items():
        table = tables.get(section)
        values = table if isinstance(table, dict) else {}
        sections[section] = _build_section(schema, section, kind, values, problems)
    # Sections that could not be made are None, so that nothing is said of what depends on them.
    problems += find_ignored(schema(**sections), tables) if refuses_ignored else []
    return (None if problems else schema(**sections)), problems


def read_section(table: object, options: type[Section]) -> Section | None:
    """Return a section from a table that somebody may have written by hand.

    Args:
        table: Values by key; keys that the section does not have are passed over.
        options: The section's dataclass.

    Returns:
        The section; None where a value is of another type or out of bounds.

    Example:
        >>> read_section({"minimum": 2}, Bounds) is None  # doctest: +SKIP
        True
    """
    if not isinstance(table, Mapping):
        return None
    kind: type = options
    kinds, problems = types_of(kind), list[str]()
    known = {key: value for key, value in table.items() if key in kinds}
    found: Section | None = _build_section(options, "", options, known, problems)
    return found


def dump(config: Any, *, with_help: bool = False) -> str:
    """Return a configuration as TOML: every setting that is read, in the dataclasses' order.

    Args:
        config: A dataclass of dataclasses.
        with_help: Write each setting's help text as a comment above it.
    """
    lines: list[str] = []
    skipped = unread_sections(config)
    for section in dataclasses.fields(config):
        if section.name in skipped:
            continue
        lines += ["", f"[{section.name}]"] if lines else [f"[{section.name}]"]
        options = getattr(config, section.name)
        unread = unread_settings(config, section.name)
        for setting in dataclasses.fields(options):
            if setting.name in unread:
                continue
            if with_help and "help" in setting.metadata:
                lines.append(f"# {setting.metadata['help']}")
            lines.append(f"{setting.name} = {to_toml(getattr(options, setting.name))}")
    return "\n".join(lines) + "\n"


def _build_section(
    schema: type, section: str, kind: type, table: Mapping[str, Any], problems: list[str]
) -> Any:
    kinds = types_of(kind)
    metadata = {setting.name: setting.metadata for setting in dataclasses.fields(kind)}
    values = {}
    before = len(problems)
    for key, value in table.items():
        if key not in kinds:
            problems.append(find_unknown(schema, section, key))
            continue
        values[key], problem = check_value(f"{section}.{key}", kinds[key], value, metadata[key])
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
        # Some say themselves which section they are about.
        words = str(error)
        problems.append(words if words.startswith(f"[{section}] ") else f"[{section}]: {words}")
        return None


@functools.cache
def types_of(schema: type) -> dict[str, Any]:
    """Return the types of a dataclass' fields by name."""
    hints = typing.get_type_hints(schema)
    return {item.name: hints[item.name] for item in dataclasses.fields(schema)}


def _suggest(name: str, known: typing.Iterable[str], section: str = "") -> str:
    known = list(known)
    prefix = f"{section}." if section else ""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    if close:
        return f" Did you mean {prefix}{close[0]}?"
    return f" Allowed: {', '.join(known)}."


def _suggest_place(schema: type, key: str) -> str:
    sections = types_of(schema)
    if key in sections:
        return f" Write it as a table: [{key}]."
    places = [f"{section}.{key}" for section in sections if key in types_of(sections[section])]
    if places:
        return f" Did you mean {' or '.join(places)}?"
    return f" Put it below one of {', '.join(f'[{section}]' for section in sections)}."
