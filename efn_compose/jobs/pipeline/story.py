"""A story file: chapters by name, each a verb with its settings, and what they read of each other."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from efn_compose.errors import ConfigError, describe_problems
from efn_compose.settings.build import find_unknown, parse_toml
from efn_compose.settings.values import to_toml

#: The table whose settings go to every chapter that has them.
EVERYWHERE = "everywhere"
#: Names that files and folders of the run folder have.
_TAKEN = ("lock", "plan_b")
#: A pipeline gives each chapter its folder.
_FOLDER = "run.path"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_REFERENCE = re.compile(r"\{([^{}.]*)(?:\.([^{}]*))?\}")


@dataclass(frozen=True)
class Reference:
    """A product of another chapter that a setting reads.

    Args:
        chapter: Name of that chapter.
        product: Name of the product; empty: the chapter's main one.
    """

    chapter: str
    product: str = ""

    def __str__(self) -> str:
        """Return it as a story writes it."""
        return f"{{{self.chapter}.{self.product}}}" if self.product else f"{{{self.chapter}}}"


@dataclass(frozen=True)
class Chapter:
    """One chapter of a story.

    Args:
        name: Its name, and that of its folder.
        verb: What it does.
        settings: Values by "section.key", as the story states them.
        elsewhere: Where those stand that are not in the chapter's own table, by the same keys.
    """

    name: str
    verb: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def references(self) -> list[tuple[str, Reference]]:
        """Each reference with the setting that holds it."""
        return [
            (key, found)
            for key, value in self.settings.items()
            for word in (value if isinstance(value, list) else [value])
            if (found := as_reference(word)) is not None
        ]

    def placed(self, problem: str) -> str:
        """Return what is wrong with a setting, behind the table or the flag where the setting stands.

        Example:
            >>> Chapter("many", "train").placed("train.epochs: too many")
            '[many]: train.epochs: too many'
        """
        key = re.match(r"\w+\.\w+", problem)
        return f"{self.elsewhere.get(key[0] if key else '', f'[{self.name}]')}: {problem}"


@dataclass(frozen=True)
class Story:
    """All chapters, each after those that it reads.

    Args:
        name: Of the story: its file's.
        chapters: In the order in which they run.
        file: Where they stand.
    """

    name: str
    chapters: tuple[Chapter, ...]
    file: str = ""

    def __getitem__(self, name: str) -> Chapter:
        """Return a chapter by its name."""
        return next(chapter for chapter in self.chapters if chapter.name == name)

    def without(self, section: str) -> "Story":
        """Return the story without all settings of one section."""
        chapters = (
            replace(
                chapter,
                settings={
                    key: value
                    for key, value in chapter.settings.items()
                    if not key.startswith(f"{section}.")
                },
            )
            for chapter in self.chapters
        )
        return replace(self, chapters=tuple(chapters))

    def to_toml(self) -> str:
        """Return the story with every setting at its place, as a run folder keeps it."""
        lines: list[str] = []
        for chapter in self.chapters:
            lines += [f"[{chapter.name}]", f'verb = "{chapter.verb}"']
            lines += [f"{key} = {_toml(value)}" for key, value in sorted(chapter.settings.items())]
            lines.append("")
        return "\n".join(lines)


def as_reference(value: Any) -> Reference | None:
    """Return what a value refers to, None if it is a plain value.

    Example:
        >>> as_reference("{many.weights}"), as_reference("lite0.h5")
        (Reference(chapter='many', product='weights'), None)
    """
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return Reference(match[1], match[2] or "") if match else None


def read_story(
    path: str | os.PathLike[str], schemas: Mapping[str, type], overrides: Sequence[str] = ()
) -> Story:
    """Read a story file.

    Args:
        path: A TOML file. Each table is a chapter: `verb`, and the settings of that verb's own
            configuration. The table `everywhere` holds settings for all chapters that have them.
        schemas: The configuration of each verb that may be a chapter.
        overrides: "chapter.section.key=value" each; they win over the file.

    Raises:
        ConfigError: No such file, not TOML, no chapter, a chapter without a verb, references to chapters
            that are not there or that go round in a circle, a folder of a chapter's own; all problems
            are listed.
    """
    file = Path(path).expanduser()
    try:
        tables = parse_toml(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 ({error}).") from None
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    problems: list[str] = []
    chapters: dict[str, Chapter] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            problems.append(f"- {name}: expected a table [{name}] with a verb")
        elif name == EVERYWHERE:
            continue
        elif not _NAME.fullmatch(name):
            problems.append(f"- [{name}]: expected small letters, digits, - and _")
        elif name in _TAKEN:
            problems.append(f"- [{name}]: the run folder has its own {name}; choose another name")
        elif not isinstance(table.get("verb"), str) or table["verb"] not in schemas:
            found = table.get("verb", "none")
            problems.append(f"- {name}.verb: expected {', '.join(schemas)}; received {found!r}")
        else:
            settings = dict(_flat({key: v for key, v in table.items() if key != "verb"}))
            problems += [
                f"- {name}.{key}: expected a number, a text, true, false, or a list; received {value}"
                for key, value in settings.items()
                if not _is_plain(value)
            ]
            chapters[name] = Chapter(name, table["verb"], settings)
    # A chapter that cannot be read is there all the same: its own problem is named, and no other.
    unread = set(tables) - set(chapters) - {EVERYWHERE}
    everywhere = tables.get(EVERYWHERE, {})
    if isinstance(everywhere, dict):
        nobodys = _spread(chapters, dict(_flat(everywhere)), schemas)
        problems += [] if unread else nobodys
    for text in overrides:
        if text.strip().partition(".")[0] in unread:
            continue
        problem = _override(chapters, text)
        problems += [f"- --set {text}: {problem}"] if problem else []
    problems += [
        f"- {chapter.name}.{_FOLDER}: a chapter's folder lies in the pipeline's; choose that one with -o"
        for chapter in chapters.values()
        if _FOLDER in chapter.settings
    ]
    problems += [
        f"- {chapter.name}: {key} reads {found}, and there is no chapter of that name; there are "
        f"{', '.join(other for other in chapters if other != chapter.name) or 'no others'}"
        for chapter in chapters.values()
        for key, found in chapter.references
        if found.chapter not in chapters and found.chapter not in unread
    ]
    if not chapters and not problems:
        problems.append("- no chapter: write a table such as [weights] with a verb")
    if problems:
        raise ConfigError(describe_problems(f"{file}: not a story.", problems, "Mend the file."))
    return Story(file.stem, tuple(_in_order(file, chapters)), str(file))


def _spread(
    chapters: dict[str, Chapter], everywhere: Mapping[str, Any], schemas: Mapping[str, type]
) -> list[str]:
    """Give chapters the settings of `everywhere` that their verbs have; return problems."""
    problems = []
    for key, value in everywhere.items():
        section, _, name = key.partition(".")
        readers = [s for s in chapters.values() if not find_unknown(schemas[s.verb], section, name)]
        if not readers:
            problems.append(f"- {EVERYWHERE}.{key}: no chapter has this setting")
        for chapter in readers:
            if key not in chapter.settings:
                _place(chapters, chapter, key, value, f"[{EVERYWHERE}]")
    return problems


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_plain(value: object) -> bool:
    """Return whether a value may be a setting: TOML also has dates, and tables in lists."""
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, bool | int | float | str) for item in items)


def _override(chapters: dict[str, Chapter], text: str) -> str:
    """Apply an override; return what is wrong with it."""
    name, equals, value = text.partition("=")
    chapter, dot, key = name.strip().partition(".")
    if not (equals and dot and "." in key):
        return "expected chapter.section.key=value"
    if chapter not in chapters:
        return f"no chapter {chapter!r}; there are {', '.join(chapters)}"
    _place(chapters, chapters[chapter], key, _typed(value.strip()), f"--set {chapter}")
    return ""


def _place(chapters: dict[str, Chapter], one: Chapter, key: str, value: Any, where: str) -> None:
    """Give a chapter a setting that stands elsewhere."""
    chapters[one.name] = Chapter(
        one.name, one.verb, {**one.settings, key: value}, {**one.elsewhere, key: where}
    )


def _typed(word: str) -> Any:
    """Return a typed value: JSON where it is, otherwise the word."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def _toml(value: Any) -> str:
    return to_toml(tuple(value) if isinstance(value, list) else value)


def _in_order(file: Path, chapters: Mapping[str, Chapter]) -> list[Chapter]:
    """Return chapters so that each stands after those it reads; otherwise as in the file."""
    ordered: dict[str, Chapter] = {}
    while len(ordered) < len(chapters):
        ready = [
            chapter
            for name, chapter in chapters.items()
            if name not in ordered
            and all(found.chapter in ordered for _, found in chapter.references)
        ]
        if not ready:
            left = ", ".join(name for name in chapters if name not in ordered)
            raise ConfigError(
                f"{file}: the chapters {left} wait for each other. A chapter reads what earlier ones wrote."
            )
        ordered[ready[0].name] = ready[0]
    return list(ordered.values())
