"""Values of settings: whether they fit their type and bounds, and how they are said and written."""

import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from efn_compose.settings.home import with_home

#: How a setting that is None stands in a file; TOML has no null.
NONE_WORD = "none"


def check_value(
    name: str, kind: object, value: object, bounds: Mapping[str, Any]
) -> tuple[Any, str]:
    """Return the value in the setting's type, and the problem with it."""
    allowed = describe(kind, bounds)
    checked, fits = fit(kind, value)
    if choices := bounds.get("choices"):
        items = checked if isinstance(checked, tuple) else (checked,)
        fits = fits and all(item in choices for item in items)
    low, high = bounds.get("minimum", -math.inf), bounds.get("maximum", math.inf)
    for item in checked if isinstance(checked, tuple) else (checked,):
        if fits and isinstance(item, int | float) and not isinstance(item, bool):
            fits = math.isfinite(item) and low <= item <= high
    if fits:
        return checked, ""
    return value, f"{name}: allowed {allowed}. Received: {show(value)}."


def fit(kind: object, value: object) -> tuple[Any, bool]:
    """Return a value in a setting's type, and whether it is of that type."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        members = typing.get_args(kind)
        if types.NoneType in members and (value is None or value == NONE_WORD):
            return None, True
        found = [fit(member, value) for member in members if member is not types.NoneType]
        return next((answer for answer in found if answer[1]), (value, False))
    if origin is typing.Literal:
        # By type too: True == 1, but is not the same setting.
        choices = typing.get_args(kind)
        return value, any(type(value) is type(choice) and value == choice for choice in choices)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return value, False
        items = [fit(typing.get_args(kind)[0], item) for item in value]
        return tuple(item for item, _ in items), all(fits for _, fits in items)
    if kind is float and type(value) is int:
        return float(value), True
    if kind is str and isinstance(value, str):
        return with_home(value), True
    return value, type(value) is kind


def describe(kind: Any, bounds: Mapping[str, Any]) -> str:
    """Return the allowed values of a setting, in words."""
    origin = typing.get_origin(kind)
    if kind is str and "choices" in bounds:
        return ", ".join(map(show, bounds["choices"]))
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(
            show(NONE_WORD) if member is types.NoneType else describe(member, bounds)
            for member in typing.get_args(kind)
        )
    if origin is typing.Literal:
        return ", ".join(show(choice) for choice in typing.get_args(kind))
    if origin is tuple:
        return f"a list, each item {describe(typing.get_args(kind)[0], bounds)}"
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


def parse_word(word: str, kind: object) -> Any:
    """Read a command-line value: as TOML where that fits the type, else as plain text."""
    value: Any = word
    # In brackets, since "#" would begin a comment that swallows the rest of a bare value.
    with suppress(tomllib.TOMLDecodeError):
        items = tomllib.loads(f"value = [{word}]")["value"]
        value = items[0] if len(items) == 1 and not word.rstrip().endswith(",") else word
    for written in (value, word):
        found, fits = fit(kind, written)
        if fits:
            return found
    if typing.get_origin(kind) is tuple and not word.startswith("["):
        item = typing.get_args(kind)[0]
        return [parse_word(part.strip(), item) for part in word.split(",") if part.strip()]
    return value


def show(value: object) -> str:
    """Return a value as a person would write it."""
    if isinstance(value, bool | str | int | float | list | tuple):
        return to_toml(value)
    return repr(value)


def to_toml(value: object) -> str:
    """Return a value as TOML."""
    if value is None:
        return f'"{NONE_WORD}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON escapes like TOML, but for DEL, which TOML wants escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return f"[{', '.join(to_toml(item) for item in value)}]"
    return repr(value)
