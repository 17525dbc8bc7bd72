"""The report of a run of pretrainings, drawn from its folder alone: verdict, monitors, pictures."""

import base64
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import section, table
from efn_compose.analysis.page.pretraining_monitors import last_epochs, monitor_curves
from efn_compose.analysis.page.report import page
from efn_compose.errors import RunError
from efn_compose.store import write_text
from efn_compose.store.journal import read_journal
from efn_compose.store.run_folder import (
    JOURNAL_FILE,
    REPORT_FILE,
    RESULT_FILE,
    named_folder,
)
from efn_compose.store.run_verb import verb_of_folder

#: Files of pictures, their section's title, and what they show from above to below.
_PICTURES = (
    ("views.png", "Two views of an image", "Images, and two views of each in the first epoch."),
    ("painted.png", "Painted", "What the network saw, what it painted, and the images themselves."),
    (
        "synthetic.png",
        "Synthetic images",
        "Images, and below them synthetic ones: nobody took these pictures.",
    ),
)
_SCORES = ("loss", "accuracy", "ridge", "knn")


def is_pretraining(run_path: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds a run of pretrainings, by the sections of its configuration."""
    return verb_of_folder(Path(run_path)) == "pretrain"


def write_pretraining_report(run_path: str | os.PathLike[str], output: str = "") -> Path:
    """Draw the report of a run of pretrainings and write it, atomically.

    Args:
        run_path: The run folder.
        output: The file; empty: `report.html` in the run folder.

    Returns:
        Path of the page.

    Raises:
        RunError: The folder holds no journal, its result is damaged, or the page cannot be written.

    Example:
        >>> write_pretraining_report("runs/pretrained")  # doctest: +SKIP
        PosixPath('runs/pretrained/report.html')
    """
    folder = named_folder(run_path)
    records = read_journal(folder / JOURNAL_FILE).records
    if not records:
        raise RunError(f"{folder}: no pretraining to report.")
    path = Path(output) if output else folder / REPORT_FILE
    write_text(path, _page(folder, records, _result(folder)))
    return path


def _result(folder: Path) -> dict[str, Any]:
    """Return what `result.json` holds; nothing before there is a verdict."""
    try:
        found: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder / RESULT_FILE}: cannot be read ({error}). Restore it from a copy, or remove it: "
            "`efn-compose pretrain` with --resume writes it again."
        ) from None


def _page(folder: Path, records: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> str:
    verdicts = result.get("verdicts", {})
    first = verdicts.get(result.get("of", ""), {})
    unjudged = "No labelled images judged this pretraining." if result else "No verdict yet."
    lead = first.get("words") or unjudged
    alarms = [
        f"{record['training']}, epoch {record['epoch']}: {alarm}"
        for record in records
        for alarm in record.get("alarms", ())
    ]
    sections: list[tuple[str, str, Sequence[Html | None]]] = [
        ("verdict", "Verdict", [_verdict_table(verdicts), _notes(result)]),
        ("monitors", "Monitors", monitor_curves(records)),
        *(
            (file.partition(".")[0], title, _pictures(folder, file, words))
            for file, title, words in _PICTURES
        ),
        ("epochs", "Last epochs", [last_epochs(records)]),
    ]
    body = [
        element(
            "div",
            element("header", element("h1", "Pretraining ", name(folder.name))),
            element(
                "main",
                element("p", lead, class_="lead"),
                _box(alarms),
                [section(key, title, parts) for key, title, parts in sections if any(parts)],
            ),
            class_="page",
        )
    ]
    return page(f"{folder.name}: {lead}", body)


def _box(alarms: Sequence[str]) -> Html | None:
    if not alarms:
        return element("p", "No monitor raised an alarm.", class_="quiet")
    rows = [element("li", alarm) for alarm in alarms]
    return element("div", element("p", "Alarms"), element("ul", rows), class_="box")


def _notes(result: Mapping[str, Any]) -> Html | None:
    notes = result.get("notes", [])
    return element("ul", [element("li", note) for note in notes]) if notes else None


def _verdict_table(verdicts: Mapping[str, Mapping[str, Any]]) -> Html | None:
    if not verdicts:
        return None

    def cell(verdict: Mapping[str, Any], score: str) -> str:
        value, scale = verdict["differences"][score], 1 if score == "loss" else 100
        digits = 4 if score == "loss" else 1
        mean, error = scale * value["mean"], scale * value["standard_error"]
        return f"{mean:+.{digits}f} ± {error:.{digits}f}"

    rows = [
        [arm, *(cell(verdict, score) for score in _SCORES)] for arm, verdict in verdicts.items()
    ]
    return table(
        [
            "pretraining",
            "loss, nats",
            "accuracy, points",
            "ridge probe, points",
            "neighbours, points",
        ],
        rows,
        numeric=range(1, 5),
        caption="Pretrained minus the donor absorbed on the same images, paired over fresh seeds, "
        "± 1 standard error. Loss and accuracy are of a short training; a negative loss is better. "
        "Coloured: ahead; of several pretrainings by Holm's rule, since the luckiest would often be.",
        row_classes=["winner" if verdict["is_ahead"] else "" for verdict in verdicts.values()],
    )


def _pictures(folder: Path, file: str, words: str) -> list[Html]:
    """Return one figure for each method that drew such a picture."""
    found = sorted({folder / file, *folder.glob(f"pretrainings/*/{file}")})
    paths = {path.parent.name.partition("_seed")[0]: path for path in reversed(found)}
    return [
        element(
            "figure",
            element(
                "img",
                src="data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(),
                alt=words,
                style="max-width:100%",
            ),
            element("figcaption", words if len(paths) == 1 else f"{method}: {words}"),
        )
        for method, path in sorted(paths.items())
        if path.is_file()
    ]
