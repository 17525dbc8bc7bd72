"""The page of settings, written from the dataclasses that hold their defaults."""

import dataclasses
import typing

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_PLACE = "<!-- settings -->"


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the mark on the page by a table for each section."""
    return text.replace(_PLACE, _sections()) if _PLACE in text else text


def _sections() -> str:
    from efn_compose.config import RunConfig

    types = typing.get_type_hints(RunConfig)
    parts = []
    for section in dataclasses.fields(RunConfig):
        options = types[section.name]
        words = (options.__doc__ or "").partition("\n\n    Args:")[0]
        rows = [
            _row(f, typing.get_type_hints(options)[f.name]) for f in dataclasses.fields(options)
        ]
        parts += [
            f"## `[{section.name}]`",
            "\n".join(line.removeprefix("    ") for line in words.splitlines()),
            "\n".join(["| key | values | default | what it is |", "|---|---|---|---|", *rows]),
        ]
    return "\n\n".join(parts)


def _row(setting: dataclasses.Field, kind: object) -> str:
    default = setting.default
    shown = {True: "true", False: "false"}.get(default) if isinstance(default, bool) else None
    if shown is None:
        shown = "[]" if default == () else '""' if default == "" else str(default)
    words = setting.metadata.get("help", "").replace("|", "\\|")
    return f"| `{setting.name}` | {_values(setting, kind)} | `{shown}` | {words} |"


def _values(setting: dataclasses.Field, kind: object) -> str:
    choices = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in choices)
    name = {int: "integer", float: "number", str: "text", bool: "true, false"}.get(kind)
    bounds = [
        f"{words} {setting.metadata[key]:g}"
        for key, words in (("minimum", "from"), ("maximum", "to"))
        if key in setting.metadata
    ]
    return " ".join([name or "list of texts", *bounds])
