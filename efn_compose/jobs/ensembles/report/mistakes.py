"""Where an ensemble errs on outer folds: images with pictures, confusion, patients, columns of the table."""

import numpy as np

from efn_compose.analysis.charts.chart_predictions import confusion
from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import table
from efn_compose.assess.ensembles import Judged
from efn_compose.assess.prediction_store import RowTable
from efn_compose.data import ImageTable
from efn_compose.data.decoding.decode import resize_image
from efn_compose.data.png import png_base64
from efn_compose.errors import EfnComposeError
from efn_compose.jobs.ensembles.preparation import PreparedEnsemble

#: Mistakes, patients and columns that are shown; pixels of a picture.
_SHOWN, _PIXELS = 24, 96


def mistakes(
    prepared: PreparedEnsemble, judged: Judged, images: ImageTable | None
) -> list[Html | None]:
    """Return the parts of the section.

    Args:
        prepared: The ensemble.
        judged: The method that rows are called by: the one that is submitted, unless that gives ranks.
        images: The labelled images, None where they are gone.
    """
    rows, stated = prepared.members.rows, judged.probability
    called = stated.argmax(axis=1)
    is_wrong = called != rows.label
    counts = np.zeros((len(rows.class_names),) * 2, np.int64)
    np.add.at(counts, (rows.label, called), 1)
    pictures = surest(prepared, images, stated, is_wrong, _SHOWN)
    return [
        element(
            "p",
            f"{int(is_wrong.sum()):,} of {len(rows):,} rows are wrong on outer folds, called by "
            f"{judged.method}; these are the "
            "surest mistakes. Some may be mistakes of the labels.",
        ),
        pictures,
        confusion(counts, rows.class_names),
        _by_patient(rows, is_wrong),
        _by_column(prepared, is_wrong),
    ]


def surest(
    prepared: PreparedEnsemble,
    images: ImageTable | None,
    stated: np.ndarray,
    chosen: np.ndarray,
    most: int,
) -> Html | None:
    """Return rows with their pictures, those first that are called most surely; None if there is no row.

    Args:
        prepared: The ensemble.
        images: The labelled images, None where they are gone.
        stated: (row, class) what the rows are called by.
        chosen: (row,) bool, the rows in question.
        most: Rows that are shown.
    """
    rows, called = prepared.members.rows, stated.argmax(axis=1)
    numbers = np.flatnonzero(chosen)
    numbers = numbers[np.argsort(-stated[numbers, called[numbers]], kind="stable")][:most]
    calls = np.stack([m.probability.argmax(axis=1) for m in prepared.members.members])
    right = (calls[:, numbers] == rows.label[numbers]).sum(axis=0)
    shown = [
        _picture(rows, images, int(number), stated, int(called[number]), int(count), len(calls))
        for number, count in zip(numbers, right, strict=True)
    ]
    return element("ul", shown, class_="samples") if shown else None


def _picture(
    rows: RowTable,
    images: ImageTable | None,
    number: int,
    stated: np.ndarray,
    called: int,
    right: int,
    columns: int,
) -> Html:
    """Return an entry of a list: what an image is, what it was called, how many columns were right.

    Args:
        rows: The fold table.
        images: Its images, None where they are gone.
        number: Of the row.
        stated: (row, class) what the ensemble says.
        called: Class that it says.
        right: Number of columns that are right.
        columns: Number of columns.
    """
    truth, said = rows.class_names[rows.label[number]], rows.class_names[called]
    shown = None
    if images is not None:
        try:
            pixels = resize_image(images.images[number], _PIXELS)
        except EfnComposeError:
            pixels = None
        if pixels is not None:
            shown = element(
                "img",
                src=f"data:image/png;base64,{png_base64(pixels)}",
                alt=f"Image {rows.image[number]}, class {truth}",
                width="64",
                height="64",
            )
    return element(
        "li",
        shown,
        element("span", name(truth), ", called ", name(said), f" ({stated[number, called]:.3f})",
                class_="wrong"),
        element("span", f"right: {right} of {columns} columns; fold {int(rows.fold[number])}"),
        element("span", name(rows.image[number])),
        element("span", "patient ", name(rows.patient[number])) if rows.patient[number] else None,
    )  # fmt: skip


def _by_patient(rows: RowTable, is_wrong: np.ndarray) -> Html | None:
    if not any(rows.patient):
        return None
    names, which = np.unique(rows.patient, return_inverse=True)
    wrong, total = np.bincount(which, is_wrong), np.bincount(which)
    order = [n for n in np.argsort(-wrong, kind="stable")[:_SHOWN] if wrong[n]]
    if not order:
        return None
    return table(
        ["patient", "rows wrong", "of"],
        [[name(names[n]), int(wrong[n]), int(total[n])] for n in order],
        numeric=(1, 2),
        caption="Patients with the most mistakes.",
    )


def _by_column(prepared: PreparedEnsemble, is_wrong: np.ndarray) -> Html | None:
    """Return the share of mistakes by category, or below and above the median of a number."""
    further = prepared.further
    if further is None:
        return None
    entries: list[tuple[str, np.ndarray]] = []
    for title, values in zip(further.numbers, further.rows.numbers.T, strict=True):
        middle = float(np.nanmedian(values))
        entries += [
            (f"{title} up to {middle:g}", values <= middle),
            (f"{title} above {middle:g}", values > middle),
        ]
        if np.isnan(values).any():
            entries.append((f"{title} missing", np.isnan(values)))
    for (title, names), codes in zip(further.categories.items(), further.rows.codes.T, strict=True):
        entries += [
            (f"{title}={word}" if word else f"{title} missing", codes == code)
            for code, word in enumerate(names, 1)
        ]
    shown = [(title, mask) for title, mask in entries if mask.any()][: 2 * _SHOWN]
    return table(
        ["rows", "number", "share wrong"],
        [[title, int(mask.sum()), f"{is_wrong[mask].mean():.3f}"] for title, mask in shown],
        numeric=(1, 2),
        caption=f"Mistakes by column of the table; over all rows {is_wrong.mean():.3f}.",
    )
