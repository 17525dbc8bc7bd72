"""The page of an ensemble: verdict, methods, columns, who agrees with whom."""

from collections.abc import Mapping

import numpy as np

from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import facts, section, table
from efn_compose.analysis.page.report import page
from efn_compose.assess.ensembles import FALLBACK, Judged
from efn_compose.assess.ensembles.methods import RANKED
from efn_compose.data import ImageTable
from efn_compose.jobs.ensembles.labelled import labelled_images
from efn_compose.jobs.ensembles.preparation import PreparedEnsemble
from efn_compose.jobs.ensembles.report.beside import side_by_side
from efn_compose.jobs.ensembles.report.mistakes import mistakes
from efn_compose.jobs.ensembles.result import EnsembleResult
from efn_compose.store import write_text
from efn_compose.store.run_folder import named_folder

REPORT_FILE = "report.html"
#: Columns that the table of agreement shows.
_SHOWN = 12


def write_page(
    prepared: PreparedEnsemble, judged: Mapping[str, Judged], result: EnsembleResult
) -> None:
    """Write `report.html`."""
    verdict = result.verdict
    headline, winner = f"{verdict.winner} is submitted", judged[verdict.winner]
    calling = judged[FALLBACK] if verdict.winner in RANKED else winner
    images = _labelled(prepared)
    body = element(
        "div",
        element("header", element("h1", "Ensemble ", name(named_folder(prepared.folder).name))),
        element(
            "main",
            element("p", headline, class_="lead", id="verdict"),
            [element("p", reason) for reason in verdict.reasons],
            facts(
                [
                    ("Columns", len(result.columns), f"{result.networks} networks"),
                    ("Rows", f"{result.rows:,}", "out of fold"),
                    ("Images", f"{result.images:,}", f"{result.asked} networks asked"),
                    ("Told apart", _number(result.told_apart), "0.5: test rows look the same"),
                ]
            ),
            section("methods", "Ways to combine", _methods(result)),
            section("columns", "Columns", _columns(result)),
            section("stack", "Second level", _stack(result)) if result.stack else None,
            section("agreement", "Agreement", _agreement(prepared)),
            section("mistakes", "Confident mistakes", mistakes(prepared, calling, images)),
            _beside(prepared, winner, calling, images),
            section("notes", "Notes", [element("p", note) for note in prepared.notes] or "None."),
        ),
        class_="page",
    )
    write_text(prepared.folder / REPORT_FILE, page(f"Ensemble: {headline}", body))


def _labelled(prepared: PreparedEnsemble) -> ImageTable | None:
    """Return the labelled images; they may have been found before."""
    members = prepared.members
    if prepared.labelled is not None:
        return prepared.labelled
    return labelled_images(members.rows, [member.column.source for member in members.members])


def _beside(
    prepared: PreparedEnsemble, judged: Judged, calling: Judged, images: ImageTable | None
) -> Html | None:
    other = prepared.other
    if other is None:
        return None
    parts = side_by_side(prepared, judged, calling, other, images)
    return section("beside", f"Beside {other.name}", parts)


def _methods(result: EnsembleResult) -> Html:
    return table(
        ["method", "honest", "± error", "minus median", "± error", "flattering"],
        [
            [
                row.name,
                _number(row.honest),
                _number(row.error),
                f"{row.difference:+.4f}",
                _number(row.difference_error),
                _number(row.flattering),
            ]
            for row in result.methods
        ],
        numeric=range(1, 6),
        caption=f"{result.measure}, higher is better (the loss is negative). Honest: on folds that "
        "had no say. Flattering: on the rows that were fitted on.",
    )


def _columns(result: EnsembleResult) -> Html:
    return table(
        ["column", "out of fold", "± error", "weight", "remark"],
        [
            [
                row.name,
                _number(row.score),
                _number(row.error),
                "" if row.weight is None else f"{row.weight:.3f}",
                "; ".join(words for words in (row.suspicion, row.flattery) if words),
            ]
            for row in sorted(result.columns, key=lambda row: -row.score)
        ],
        numeric=(1, 2, 3),
        caption=f"Weights of {result.asked_method}. It left out {result.behind} columns for "
        f"their score and {result.doubles} as doubles.",
    )


def _stack(result: EnsembleResult) -> Html:
    found = result.stack or {}
    return table(
        ["model", "settings", "out of fold"],
        [
            [model, found.get("settings", {}).get(model, ""), _number(value)]
            for model, value in found.get("best", {}).items()
        ],
        numeric=(2,),
        caption=f"{found.get('fitted')} models fitted, {found.get('failed')} failed, "
        f"{found.get('not_fitted')} not fitted yet; the best of them.",
    )


def _agreement(prepared: PreparedEnsemble) -> Html:
    members = prepared.members.members[:_SHOWN]
    calls = np.stack([member.probability.argmax(axis=1) for member in members])
    labels = prepared.members.rows.label
    rows = []
    for number, member in enumerate(members):
        same = (calls == calls[number]).mean(axis=1)
        both = ((calls != labels) & (calls[number] != labels)).mean(axis=1)
        rows.append(
            [member.column.name, *(f"{s:.3f} / {b:.3f}" for s, b in zip(same, both, strict=True))]
        )
    return table(
        ["column", *(member.column.name for member in members)],
        rows,
        numeric=range(1, len(members) + 1),
        caption="Share of rows with the same answer / with both wrong"
        + (f"; the first {_SHOWN} columns." if len(prepared.members.members) > _SHOWN else "."),
    )


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"
