"""The page of a pipeline, drawn from its folder alone: the chain, and what each chapter has come to."""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efn_compose.analysis.charts.chart_chain import Link, chain_figure
from efn_compose.analysis.html.markup import Html, element, join, name
from efn_compose.analysis.html.report_parts import facts, folded, section, table
from efn_compose.analysis.page.report import page
from efn_compose.analysis.reading.figures import duration, signed
from efn_compose.analysis.reading.story_lines import chapter_of, ended_chapters
from efn_compose.errors import RunError
from efn_compose.store import write_text
from efn_compose.store.journal import read_journal
from efn_compose.store.run_folder import (
    CONFIG_FILE,
    JOURNAL_FILE,
    REPORT_FILE,
    RESULT_FILE,
    named_folder,
)
from efn_compose.store.run_verb import verb_of_folder

#: What trainings have in place of a report.
_LEADERBOARD = "leaderboard.md"
_OUT_OF_FOLD = (
    "Out of fold, one network of each training answers an image. A new image is answered by all of them, "
    "so joining networks is worth more there than these figures say."
)


def is_story(run_path: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds a pipeline."""
    return verb_of_folder(Path(run_path)) == "pipeline"


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
    folder = named_folder(run_path)
    try:
        chapters = tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        result = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: no pipeline to report ({error}).") from None
    records = read_journal(folder / JOURNAL_FILE).records
    done = ended_chapters(records)
    path = Path(output) if output else folder / REPORT_FILE
    write_text(path, _page(folder, chapters, done, result))
    return path


def _page(
    folder: Path,
    chapters: Mapping[str, Mapping[str, Any]],
    done: Mapping[str, Mapping[str, Any]],
    result: Mapping[str, Any],
) -> str:
    seconds = sum(line["timing"]["seconds"] for line in done.values())
    answers = [chapter for chapter, line in done.items() if "submission" in line["products"]]
    body = element(
        "div",
        element("header", element("h1", "Pipeline ", name(folder.name))),
        element(
            "main",
            element("p", result["words"], class_="lead", id="verdict"),
            facts(
                [
                    *_figure(result),
                    ("Chapters", f"{len(done)} of {len(chapters)}", "have ended"),
                    ("Time", duration(seconds), "all chapters together"),
                    *_licence(result),
                ]
            ),
            section("chain", "The chain", chain_figure(_links(folder, chapters, done, result))),
            section("chapters", "Chapters", _table(folder, chapters, done, result)),
            section("worth", "Without each chapter", *_worth(result)),
            section(
                "submission", "The submission", *_submission(folder, chapters, result, answers)
            ),
            section("words", "What each chapter says", *_words(folder, done)),
        ),
        class_="page",
    )
    return page(f"{folder.name}: {result['words']}", [body])


def _figure(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figure of the submission with its interval, where there is one."""
    found = result.get("figure")
    if not found:
        return []
    ends = f"{found['low']:.3f} to {found['high']:.3f} with 95 % confidence"
    words = f"{ends}; {found['words']}"
    return [(found["measure"].capitalize(), f"{found['value']:.4f}", words)]


def _worth(result: Mapping[str, Any]) -> list[Html]:
    """Return what would stand in each chapter's place, and how much worse that would be."""
    measure = (result.get("figure") or {}).get("measure", "score")
    found = result.get("worth", ())
    has_scores = any(row.get("scores") for row in found)
    rows = []
    for row in found:
        gain = f"{signed(row['gain'])} ± {row['error']:.4f}" if row["gain"] or row["error"] else "0"
        cells: list[Any] = [name(chapter_of(row)), _with(gain, row["words"])]
        if row.get("scores"):
            # Of a loss all scores are negative; people know it as it is.
            mine, other = (f"{abs(one):.4f}" for one in row["scores"])
            cells.append(_with(other, f"with it {mine}"))
        elif has_scores:
            cells.append("")
        place = element("div", *_with(row["instead"], row["judged"]), class_="prose")
        rows.append([*cells, place])
    if not rows:
        return [element("p", "No chapter that has ended tells what it was worth.")]
    return [
        element(
            "p",
            "A gain above 0 says that the chapter is better than what would stand in its place. ± is the "
            "standard error of the paired difference. A chapter pays where its gain is more than two of "
            "them, may pay where it is more than one, and is not told apart otherwise. A pretraining "
            "that was chosen among several needs more, by Holm's rule.",
        ),
        table(
            ["chapter", "gain", *([f"{measure} without it"] if has_scores else []), "in its place"],
            rows,
            numeric=(1, 2) if has_scores else (1,),
        ),
        *([element("p", _OUT_OF_FOLD)] if has_scores else []),
        *(element("p", note) for note in result.get("notes", ())),
    ]


def _with(words: object, under: str) -> list[object]:
    """Return a table's cell with a small line under its words."""
    return [words, element("small", under, class_="under")]


def _submission(
    folder: Path,
    chapters: Mapping[str, Mapping[str, Any]],
    result: Mapping[str, Any],
    answers: Sequence[str],
) -> list[Html]:
    """Return the files to hand in, and why they are as they are, in the words of the guard."""
    submission = result.get("submission")
    if not submission:
        return [element("p", "This pipeline makes none.")]
    files = [submission, "plan_b.csv", *(f"{chapter}/second.csv" for chapter in answers[-1:])]
    links = [_link(folder, one) for one in files if (folder / one).is_file()]
    places = [
        folder / chapter / RESULT_FILE
        for chapter in chapters
        if chapters[chapter]["verb"] == "ensemble"
    ]
    reasons: list[str] = []
    if places and places[-1].is_file():
        reasons = json.loads(places[-1].read_text(encoding="utf-8"))["reasons"]
    origin = result.get("origin")
    return [
        element("p", "Files: ", join(links, ", "), "."),
        *([element("p", f"{submission} is {origin}.")] if origin else []),
        *(element("p", words[:1].upper() + words[1:]) for words in reasons),
    ]


def _licence(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    licence = result.get("licence")
    return [] if licence is None else [("Licence", licence["name"], licence["words"])]


def _links(
    folder: Path,
    chapters: Mapping[str, Mapping[str, Any]],
    done: Mapping[str, Mapping[str, Any]],
    result: Mapping[str, Any],
) -> list[Link]:
    verdicts = _verdicts(result)
    times = dict.fromkeys(result.get("failed", ()), "failed")
    times |= {chapter: duration(line["timing"]["seconds"]) for chapter, line in done.items()}
    return [
        Link(
            chapter,
            f"{settings['verb']}, {times.get(chapter, 'not yet')}",
            verdicts.get(chapter, ""),
            tuple(other for other in chapters if other != chapter and _reads(settings, other)),
            _page_of(folder, chapter, done),
        )
        for chapter, settings in chapters.items()
    ]


def _reads(table: Any, chapter: str) -> bool:
    """Return whether any value of a chapter's table refers to another chapter."""
    if isinstance(table, Mapping):
        return any(_reads(value, chapter) for value in table.values())
    if isinstance(table, list):
        return any(_reads(value, chapter) for value in table)
    return isinstance(table, str) and (
        table == f"{{{chapter}}}" or table.startswith(f"{{{chapter}.")
    )


def _table(
    folder: Path,
    chapters: Mapping[str, Mapping[str, Any]],
    done: Mapping[str, Mapping[str, Any]],
    result: Mapping[str, Any],
) -> Html:
    rows: list[Sequence[Any]] = []
    failed: Mapping[str, str] = result.get("failed", {})
    verdicts = _verdicts(result)
    for chapter, settings in chapters.items():
        line = done.get(chapter)
        if line is None:
            time, words = ("failed", failed[chapter]) if chapter in failed else ("not yet", "")
        else:
            time, words = duration(line["timing"]["seconds"]), line["headline"]
        head = _with(_link(folder, _page_of(folder, chapter, done), chapter), settings["verb"])
        rows.append([head, time, words, verdicts.get(chapter, "")])
    return table(["chapter", "time", "came to", "verdict"], rows, numeric=(1,))


def _verdicts(result: Mapping[str, Any]) -> dict[str, str]:
    """Return by chapter what its worth comes to, in two words."""
    return {chapter_of(row): row["words"] for row in result.get("worth", ())}


def _page_of(folder: Path, chapter: str, done: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what a chapter has to look at: a page, else its first product; empty: nothing."""
    products = done[chapter]["products"].values() if chapter in done else ()
    files = [f"{chapter}/{REPORT_FILE}", f"{chapter}/{_LEADERBOARD}", *products]
    return next((one for one in files if (folder / one).is_file()), "")


def _link(folder: Path, relative: str, words: str = "") -> Html:
    """Return a link to a file of the run, or its words alone where there is no such file."""
    shown = name(words or relative)
    return element("a", shown, href=relative) if (folder / relative).is_file() else shown


def _words(folder: Path, done: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    """Return, folded away, all that each chapter says of itself, and its files."""
    return [
        folded(
            chapter,
            element("pre", line["words"]),
            element(
                "p",
                "Wrote ",
                join([_link(folder, path) for path in line["products"].values()], ", "),
                class_="note",
            ),
        )
        for chapter, line in done.items()
    ]
