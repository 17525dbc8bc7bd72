"""Two ensembles side by side on the same labelled rows: which one errs where."""

import numpy as np

from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.report_parts import table
from efn_compose.assess.ensembles import Judged, compare, score
from efn_compose.data import ImageTable
from efn_compose.jobs.ensembles.other import OtherEnsemble
from efn_compose.jobs.ensembles.preparation import PreparedEnsemble
from efn_compose.jobs.ensembles.report.mistakes import surest

#: Pictures of each kind that are shown.
_SHOWN = 12


def side_by_side(
    prepared: PreparedEnsemble,
    judged: Judged,
    calling: Judged,
    other: OtherEnsemble,
    images: ImageTable | None,
) -> list[Html | None]:
    """Return the parts of the section.

    Args:
        prepared: This ensemble.
        judged: The method that it submits.
        calling: The method that its rows are called by: the same, unless that gives ranks.
        other: The ensemble to stand beside.
        images: The labelled images, None where they are gone.
    """
    rows, measure = prepared.members.rows, prepared.config.ensemble.measure
    ours, theirs = judged.probability, other.probability
    own, second = (score(measure, rows.label, stated) for stated in (ours, theirs))
    difference = compare(own, second, rows.clusters)
    is_ahead = "ahead by more than one" if difference.is_ahead else "not ahead by more than one"
    ours, theirs = calling.probability, other.calling
    calls = np.stack([ours.argmax(axis=1), theirs.argmax(axis=1)])
    right = calls == rows.label
    only_ours, only_theirs = right[0] & ~right[1], right[1] & ~right[0]
    return [
        element(
            "p",
            f"{measure} of {judged.method} minus {other.method} of {other.name}, on outer folds: "
            f"{difference.difference:+.4f} ± {difference.standard_error:.4f} standard error, {is_ahead}.",
        ),
        table(
            ["", f"{other.name} right", f"{other.name} wrong"],
            [
                ["this one right", int((right[0] & right[1]).sum()), int(only_ours.sum())],
                ["this one wrong", int(only_theirs.sum()), int((~right[0] & ~right[1]).sum())],
            ],
            numeric=(1, 2),
            caption=f"Rows by who is right; {int((calls[0] != calls[1]).sum())} are called differently.",
        ),
        table(
            ["class", "rows", "this one right", f"{other.name} right"],
            [
                [
                    name,
                    int(mask.sum()),
                    f"{right[0][mask].mean():.3f}",
                    f"{right[1][mask].mean():.3f}",
                ]
                for number, name in enumerate(rows.class_names)
                for mask in [rows.label == number]
            ],
            numeric=(1, 2, 3),
            caption="Share of each class that is right.",
        ),
        *_pictures(
            "Right there, wrong here",
            int(only_theirs.sum()),
            surest(prepared, images, ours, only_theirs, _SHOWN),
        ),
        *_pictures(
            "Right here, wrong there",
            int(only_ours.sum()),
            surest(prepared, images, theirs, only_ours, _SHOWN),
        ),
    ]


def _pictures(title: str, count: int, shown: Html | None) -> list[Html]:
    """Return the rows that one of the two gets wrong, its surest mistakes first."""
    if shown is None:
        return [element("p", f"{title}: none.")]
    return [element("h3", f"{title}: {count} rows"), shown]
