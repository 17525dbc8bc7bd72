"""Configurations from TOML files and `--set`, and back: read, checked, written."""

import difflib
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from efn_compose.errors import ConfigError, describe_problems
from efn_compose.evolve.run_config import RunConfig
from efn_compose.settings import build as settings
from efn_compose.settings.renamed import OldSettingWarning, old_types, translate

__all__ = ["RunConfig", "check_config", "dump_toml", "load_config"]

Schema = TypeVar("Schema")


def load_config(
    path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    schema: type[Schema] = RunConfig,  # type: ignore[assignment]  # a type variable has no default before 3.13
    *,
    passes_over_others: bool = False,
) -> Schema:
    """Read a configuration file and apply overrides.

    Args:
        path: A TOML file; None takes every default.
        overrides: "section.key=value" each, later ones win; strings need no quotes.
        schema: The dataclass of sections to make; its attribute `renamed`, where it has one, says
            what became of the settings of the version before.
        passes_over_others: Ignore tables of the file that are no section of the schema, for
            commands that need a part of another command's file.

    Warns:
        OldSettingWarning: For each setting under the name it had one version ago.

    Raises:
        ConfigError: No such file, not TOML, unknown sections or keys, values of another type
            or out of bounds, settings without effect; all problems are listed, with suggestions.

    Example:
        >>> load_config(overrides=["genetic.population=40"]).genetic.population
        40
    """
    where = "defaults" if path is None else str(path)
    tables = {} if path is None else _read(Path(path))
    if passes_over_others:
        sections: type = schema
        names = settings.types_of(sections)
        tables = {name: table for name, table in tables.items() if name in names}
    config, problems = check_config(tables, overrides, schema)
    if config is None:
        lines = [f"- {problem}" for problem in problems]
        raise ConfigError(
            describe_problems(f"{where}: {_count(problems)} in the configuration.", lines)
        )
    return config


def check_config(
    tables: Mapping[str, Any], overrides: Sequence[str], schema: type[Schema], flag: str = "--set "
) -> tuple[Schema | None, list[str]]:
    """Make a configuration of tables and of settings that win over them.

    Args:
        tables: Values by key by section.
        overrides: "section.key=value" each.
        schema: As for `load_config`.
        flag: What stands before an override that cannot be read; empty where nobody typed them.

    Returns:
        The configuration, None where there are problems; and all problems, a sentence each.
    """
    rows = getattr(schema, "renamed", ())
    old = old_types(rows, schema)
    problems: list[str] = []
    typed: dict[str, Any] = {}
    for override in overrides:
        try:
            section, key, value = settings.parse_override(override, schema, old)
        except ConfigError as error:
            problems.append(f"{flag}{error}")
            continue
        typed.setdefault(section, {})[key] = value
    found = translate((tables, typed), rows, schema)
    for note in found.notes:
        warnings.warn(note, OldSettingWarning, stacklevel=3)
    config, wrong = settings.build(schema, found.tables)
    problems += [*found.problems, *wrong]
    return (None if problems else config), problems


def dump_toml(config: Any, *, with_help: bool = False) -> str:
    """Return a configuration as TOML text that `load_config` reads back to an equal one.

    Args:
        config: A `RunConfig`, or any dataclass of dataclasses.
        with_help: Explain each setting in a comment above it.

    Example:
        >>> print(dump_toml(RunConfig()).splitlines()[0])
        [run]
    """
    return settings.dump(config, with_help=with_help)


def _read(path: Path) -> dict[str, Any]:
    try:
        # Windows begins some files with a mark.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file (seen from {Path.cwd()}).{_similar(path)}"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error}).") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from None
    try:
        return settings.parse_toml(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}.") from None


def _similar(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.glob("*.toml")]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.with_name(close[0])}?" if close else ""


def _count(problems: Sequence[str]) -> str:
    return f"{len(problems)} problem" + ("" if len(problems) == 1 else "s")
