"""A pipeline's lines: which chapters have ended, and how long each worked, over all attempts."""

from collections.abc import Iterable, Mapping
from typing import Any

#: Events of a chapter's attempts; `of` names the chapter.
BEGUN, STOPPED = "begun", "stopped"


def chapter_of(row: Mapping[str, Any]) -> str:
    """Return the chapter that a line of the journal, or a row of the result, is about.

    Folders of before version 0.2.0 was released call it a stage.

    Example:
        >>> chapter_of({"chapter": "many"}), chapter_of({"stage": "many"})
        ('many', 'many')
    """
    return str(row["chapter"] if "chapter" in row else row["stage"])


def ended_chapters(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the line of each chapter that has ended, by its name.

    Args:
        records: Of the journal.
    """
    return {chapter_of(line): dict(line) for line in records if "products" in line}


def earlier_attempts(records: Iterable[Mapping[str, Any]], name: str) -> list[float]:
    """Return the seconds of each attempt at a chapter that did not end it.

    Args:
        records: Of the journal.
        name: The chapter's.
    """
    return [
        line["timing"]["seconds"]
        for line in records
        if line.get("event") == STOPPED and line["of"] == name
    ]


def killed_attempt(records: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Return when an attempt at a chapter began of which nobody noted the end, in Unix seconds.

    Args:
        records: Of the journal.
        name: The chapter's.

    Returns:
        None: there is none.
    """
    own = [line for line in records if "event" in line and line.get("of") == name]
    events = [line for line in own if line["event"] in (BEGUN, STOPPED)]
    if not events or events[-1]["event"] == STOPPED:
        return None
    return float(events[-1]["timing"]["at"])
