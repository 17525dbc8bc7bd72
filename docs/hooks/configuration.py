"""The page of settings, written from the dataclasses that hold their defaults."""

import dataclasses
import importlib
import types
import typing

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

#: Marks on pages, and the dataclass of sections that each stands for; `#name` is one section of it.
_PLACES = {
    "<!-- settings -->": "efn_compose.config:RunConfig",
    "<!-- pretraining settings -->": "efn_compose.jobs.pretraining.options:PretrainConfig",
    "<!-- training settings -->": "efn_compose.jobs.trainings.options:TrainConfig",
    "<!-- study settings -->": "efn_compose.jobs.study.options:StudyConfig#study",
    "<!-- policy settings -->": "efn_compose.jobs.policies.options:PolicyConfig#policy",
    "<!-- ensemble settings -->": "efn_compose.jobs.ensembles.options:EnsembleConfig",
}


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace each mark on the page by a table for each section."""
    for mark, schema in _PLACES.items():
        if mark in text:
            text = text.replace(mark, _sections(schema))
    return text


def _sections(place: str) -> str:
    from efn_compose.quiet_import import import_tensorflow_quietly

    import_tensorflow_quietly()
    place, _, only = place.partition("#")
    module, _, name = place.partition(":")
    schema = getattr(importlib.import_module(module), name)
    types = typing.get_type_hints(schema)
    parts = []
    for section in dataclasses.fields(schema):
        if only and section.name != only:
            continue
        options = types[section.name]
        words = (options.__doc__ or "").partition("\n\n    Args:")[0]
        rows = [
            _row(f, typing.get_type_hints(options)[f.name]) for f in dataclasses.fields(options)
        ]
        parts += [
            f"### `[{section.name}]`",
            "\n".join(line.removeprefix("    ") for line in words.splitlines()),
            *[
                f"Read with {_conditions(section)} only."
                for _ in section.metadata.get("read_when", ())[:1]
            ],
            "\n".join(["| key | values | default | what it is |", "|---|---|---|---|", *rows]),
        ]
    return "\n\n".join(parts)


def _row(setting: dataclasses.Field, kind: object) -> str:
    default = setting.default
    shown = {True: "true", False: "false"}.get(default) if isinstance(default, bool) else None
    if shown is None:
        if default is dataclasses.MISSING:
            default = setting.default_factory()
        shown = "[]" if default == () else '""' if default == "" else str(default)
    words = setting.metadata.get("help", "")
    if "read_when" in setting.metadata:
        words += f" (read with {_conditions(setting)})"
    words = words.replace("|", "\\|")
    return f"| `{setting.name}` | {_values(setting, kind)} | `{shown}` | {words} |"


def _conditions(item: dataclasses.Field) -> str:
    """Return what makes a setting or section be read, in words."""
    return " or ".join(map(str, item.metadata["read_when"]))


def _values(setting: dataclasses.Field, kind: object) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return " or ".join(_values(setting, member) for member in typing.get_args(kind))
    is_list = typing.get_origin(kind) is tuple
    if is_list:
        kind = typing.get_args(kind)[0]
    is_literal = typing.get_origin(kind) is typing.Literal
    if choices := setting.metadata.get("choices") or (is_literal and typing.get_args(kind)):
        return ("any of " if is_list else "") + ", ".join(f"`{choice}`" for choice in choices)
    one = {int: "integer", float: "number", str: "text", bool: "true, false"}[kind]
    bounds = [
        f"{words} {setting.metadata[key]:{'' if kind is int else 'g'}}"
        for key, words in (("minimum", "from"), ("maximum", "to"))
        if key in setting.metadata
    ]
    return " ".join([f"list of {one}s" if is_list else one, *bounds])
