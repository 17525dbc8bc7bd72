"""Settings that have no effect where they stand, so that none is ignored in silence."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from efn_compose.settings.declare import When
from efn_compose.settings.values import show

_MISSING = object()
#: A setting that is named in a sentence.
_NAME = re.compile(r"\b[a-z_]+\.[a-z_]+\b")


def unread_sections(config: Any) -> dict[str, tuple[When, ...]]:
    """Return the sections that a configuration does not read, and what would make it read them."""
    return {
        item.name: conditions
        for item in dataclasses.fields(config)
        if (conditions := _unmet(config, item.name, item.metadata))
    }


def unread_settings(config: object, section: str) -> dict[str, tuple[When, ...]]:
    """Return the settings of a section that are not read, and what would make them be read."""
    return {
        item.name: conditions
        for item in dataclasses.fields(getattr(config, section))
        if (conditions := _unmet(config, section, item.metadata))
    }


def find_ignored(config: Any, given: Mapping[str, Any]) -> list[str]:
    """Return the settings that a configuration gives without effect, one sentence each.

    A setting of a section that is read may be written out at its default. A section that is not
    read may not be there at all.

    Args:
        config: A dataclass of dataclasses; None stands for a section that could not be made, and
            nothing is said of settings that depend on one.
        given: Tables as they were read.
    """
    problems = []
    skipped = unread_sections(config)
    for item in dataclasses.fields(config):
        options = getattr(config, item.name)
        if item.name in skipped:
            if item.name in given:
                table = given[item.name]
                problems.append(_section_problem(config, item.name, table, skipped[item.name]))
            continue
        if options is None:
            continue
        unread = unread_settings(config, item.name)
        problems += [
            _setting_problem(config, item.name, key, value, unread[key])
            for key, value in _changed(options).items()
            if key in unread
        ]
    return problems


def _changed(options: Any) -> dict[str, Any]:
    """Return the settings of a section that are not at their defaults."""
    found = {}
    for item in dataclasses.fields(options):
        default = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        if getattr(options, item.name) != default:
            found[item.name] = getattr(options, item.name)
    return found


def _unmet(config: object, section: str, metadata: Mapping[str, Any]) -> tuple[When, ...]:
    """Return the conditions if none of them holds; nothing if one does, or if none can be judged."""
    conditions = tuple(_placed(when, section) for when in metadata.get("read_when", ()))
    if any(getattr(config, when.name.partition(".")[0], _MISSING) is None for when in conditions):
        return ()
    found = [(when, _value(config, when.name)) for when in conditions]
    if all(value is _MISSING for _, value in found):
        return ()
    if any(value is not _MISSING and _holds(when, value) for when, value in found):
        return ()
    return conditions


def _placed(when: When, section: str) -> When:
    return when if "." in when.name else dataclasses.replace(when, name=f"{section}.{when.name}")


def _value(config: object, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section, None), key, _MISSING)


def _holds(when: When, value: object) -> bool:
    return value in when.values if when.values else bool(value)


def _section_problem(
    config: object, section: str, table: object, conditions: Sequence[When]
) -> str:
    keys = [f"{section}.{key}" for key in table] if isinstance(table, Mapping) else []
    what = ", ".join(keys) or f"[{section}]"
    verb = "have" if len(keys) > 1 else "has"
    return f"{what} {verb} no effect{_reason(config, conditions)} Remove [{section}], or {_step(conditions)}."


def _setting_problem(
    config: object, section: str, key: str, value: object, conditions: Sequence[When]
) -> str:
    name = f"{section}.{key}"
    return (
        f"{name} = {show(value)} has no effect{_reason(config, conditions)} "
        f"Remove {name}, or {_step(conditions)}."
    )


def _reason(config: object, conditions: Sequence[When]) -> str:
    """Return the value that stands in the way, and the values that would not."""
    words = " or ".join(map(str, conditions))
    names = [name for name in dict.fromkeys(_NAME.findall(words)) if _is_known(config, name)]
    now = " and ".join(f"{name} = {show(_value(config, name))}" for name in names)
    return f"{f' with {now}' if now else ''}: it is read with {words} only."


def _is_known(config: object, name: str) -> bool:
    return _value(config, name) is not _MISSING


def _step(conditions: Sequence[When]) -> str:
    # Of a condition that holds for any value, the name alone.
    steps = [str(when).removesuffix(" set") for when in conditions]
    return f"set {' or '.join(steps)}"
