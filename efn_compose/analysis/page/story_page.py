"""The page of a pipeline, drawn from its folder alone: the chain, and what each stage has come to."""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efn_compose.analysis.charts.chart_chain import Link, chain_figure
from efn_compose.analysis.charts.figures import duration
from efn_compose.analysis.html.markup import Html, element, join, name
from efn_compose.analysis.page.report import page
from efn_compose.analysis.page.report_parts import facts, folded, section, table
from efn_compose.errors import RunError
from efn_compose.store import write_text
from efn_compose.store.journal import read_journal
from efn_compose.store.run_folder import CONFIG_FILE, JOURNAL_FILE, REPORT_FILE, RESULT_FILE

#: What trainings have in place of a report.
_LEADERBOARD = "leaderboard.md"


def is_story(run_path: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds a pipeline: every table of its configuration names a verb."""
    try:
        tables = tomllib.loads((Path(run_path) / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(tables) and all(isinstance(one, dict) and "verb" in one for one in tables.values())


def write_story_page(run_path: str | os.PathLike[str], output: str = "") -> Path:
    """Draw the page of a pipeline and write it, atomically.

    Args:
        run_path: The run folder.
        output: The file; empty: `report.html` in the run folder, where its links lead on.

    Returns:
        Path of the page.

    Raises:
        RunError: The folder holds no pipeline, or the page cannot be written.

    Example:
        >>> write_story_page("runs/story")  # doctest: +SKIP
        PosixPath('runs/story/report.html')
    """
    folder = Path(run_path)
    try:
        stages = tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: no pipeline to report ({error}).") from None
    records = read_journal(folder / JOURNAL_FILE).records
    done = {line["stage"]: line for line in records if "products" in line}
    path = Path(output) if output else folder / REPORT_FILE
    write_text(path, _page(folder, stages, done, result))
    return path


def _page(
    folder: Path,
    stages: Mapping[str, Mapping[str, Any]],
    done: Mapping[str, Mapping[str, Any]],
    result: Mapping[str, Any],
) -> str:
    seconds = sum(line["timing"]["seconds"] for line in done.values())
    submission, licence = result.get("submission"), _licence(result)
    body = element(
        "div",
        element("header", element("h1", "Pipeline ", name(folder.name))),
        element(
            "main",
            element("p", result["words"], class_="lead", id="verdict"),
            facts(
                [
                    ("Stages", f"{len(done)} of {len(stages)}", "have ended"),
                    ("Time", duration(seconds), "all stages together"),
                    (
                        "Submission",
                        _link(folder, submission) if submission else "none",
                        "the best that is finished",
                    ),
                    *([licence] if licence is not None else []),
                ]
            ),
            section("chain", "The chain", chain_figure(_links(stages, done))),
            section("stages", "Stages", _table(folder, stages, done, result)),
            section("worth", "Without each stage", *_worth(result)),
            *_reasons(folder, stages),
            section("words", "What each stage says", *_words(folder, done)),
        ),
        class_="page",
    )
    return page(f"{folder.name}: {result['words']}", [body])


def _worth(result: Mapping[str, Any]) -> list[Html]:
    """Return what would stand in each stage's place, and how much worse that would be."""
    rows = [
        [
            name(row["stage"]),
            [
                f"{row['gain']:+.4f} ± {row['error']:.4f}",
                element("small", row["words"], class_="under"),
            ],
            [row["instead"], element("small", row["judged"], class_="under")],
        ]
        for row in result.get("worth", ())
    ]
    if not rows:
        return [element("p", "No stage that has ended tells what it was worth.")]
    return [
        element(
            "p",
            "A gain above 0 says that the stage is better than what would stand in its place. ± is the "
            "standard error of the paired difference; within one of it the two are not told apart.",
        ),
        table(["stage", "gain", "over"], rows, numeric=(1,)),
        *(element("p", note) for note in result.get("notes", ())),
    ]


def _reasons(folder: Path, stages: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    """Return why the submission is what it is, in the words of the ensemble's guard."""
    ensembles = [stage for stage, settings in stages.items() if settings["verb"] == "ensemble"]
    places = [folder / stage / RESULT_FILE for stage in ensembles]
    if not places or not places[-1].is_file():
        return []
    reasons = json.loads(places[-1].read_text(encoding="utf-8"))["reasons"]
    paragraphs = [
        element("p", reason[:1].upper() + reason[1:].replace("_", " ")) for reason in reasons
    ]
    return [section("submission", "Why this submission", *paragraphs)]


def _licence(result: Mapping[str, Any]) -> tuple[str, str, str] | None:
    licence = result.get("licence")
    return None if licence is None else ("Licence", licence["name"], licence["words"])


def _links(
    stages: Mapping[str, Mapping[str, Any]], done: Mapping[str, Mapping[str, Any]]
) -> list[Link]:
    return [
        Link(
            stage,
            f"{settings['verb']}, {duration(done[stage]['timing']['seconds'])}"
            if stage in done
            else f"{settings['verb']}, not yet",
            tuple(other for other in stages if other != stage and _reads(settings, other)),
        )
        for stage, settings in stages.items()
    ]


def _reads(table: Any, stage: str) -> bool:
    """Whether any value of a stage's table refers to another stage."""
    if isinstance(table, Mapping):
        return any(_reads(value, stage) for value in table.values())
    if isinstance(table, list):
        return any(_reads(value, stage) for value in table)
    return isinstance(table, str) and (table == f"{{{stage}}}" or table.startswith(f"{{{stage}."))


def _table(
    folder: Path,
    stages: Mapping[str, Mapping[str, Any]],
    done: Mapping[str, Mapping[str, Any]],
    result: Mapping[str, Any],
) -> Html:
    rows: list[Sequence[Any]] = []
    failed: Mapping[str, str] = result.get("failed", {})
    for stage, settings in stages.items():
        line = done.get(stage)
        if line is None:
            time, words = "not yet", f"Failed: {failed[stage]}" if stage in failed else ""
        else:
            time, words = duration(line["timing"]["seconds"]), line["headline"]
        verb = element("small", settings["verb"], class_="under")
        rows.append([[_link(folder, _page_of(folder, stage), stage), verb], time, words])
    return table(["stage", "time", "came to"], rows, numeric=(1,))


def _page_of(folder: Path, stage: str) -> str:
    """Return what a stage has to look at."""
    report = f"{stage}/{REPORT_FILE}"
    return report if (folder / report).is_file() else f"{stage}/{_LEADERBOARD}"


def _link(folder: Path, relative: str, words: str = "") -> Html:
    """Return a link to a file of the run, or its words alone where there is no such file."""
    shown = name(words or relative)
    return element("a", shown, href=relative) if (folder / relative).is_file() else shown


def _words(folder: Path, done: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    """Return, folded away, all that each stage says of itself, and its files."""
    return [
        folded(
            stage,
            element("pre", line["words"], class_="wide", tabindex="0"),
            element(
                "p",
                "Wrote ",
                join([_link(folder, path) for path in line["products"].values()], ", "),
                class_="note",
            ),
        )
        for stage, line in done.items()
    ]
