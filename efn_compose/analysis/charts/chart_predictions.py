"""Confusion matrices of best donor and challenger on test images, and images with both answers."""

import itertools
from collections.abc import Sequence

import numpy as np

from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import table
from efn_compose.analysis.html.report_svg import shortened
from efn_compose.analysis.reading.figures import count, percent
from efn_compose.analysis.reading.predictions_view import PredictionsView, SampleView
from efn_compose.analysis.reading.scoreboard import contestant_title
from efn_compose.evolve.verdict.verdict import reference_kind

#: Classes up to which the whole matrix is drawn; above, the commonest confusions are listed.
_MATRIX_CLASSES = 12
_LISTED = 12
#: Strongest share of colour in a cell: ink on it stays readable (WCAG AA), light and dark.
CELL_SHARE = 35

STYLE = """
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:1rem 2rem}
.pair>div{min-width:0}
.matrix td,.matrix th{padding:.18rem .15rem;text-align:right;border:0;min-width:1.7rem}
.matrix th:first-child{position:static;max-width:none}
.matrix tbody th{white-space:nowrap}.matrix thead th{font-size:.75rem}
.matrix td{font-variant-numeric:tabular-nums;border-radius:2px}
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.2rem,1fr));gap:.8rem;
  list-style:none;margin:.5rem 0 1rem;padding:0;font-size:.84rem;line-height:1.35}
.samples img{width:4rem;height:4rem;object-fit:contain;image-rendering:auto;display:block;
  background:var(--panel);border-radius:3px;margin-bottom:.25rem}
.samples span{display:block;overflow-wrap:anywhere}
.right{color:var(--ink)}.wrong{color:var(--accent);font-weight:600}
"""


def predictions_section(view: PredictionsView | None, classes: Sequence[str]) -> list[Html]:
    """Return confusion and samples; empty without predictions.

    Args:
        view: The predictions that the run folder holds.
        classes: Class names.
    """
    if view is None:
        return []
    donor, challenger = (view.confusion[n] for n in (view.best_donor, view.challenger))
    names = [contestant_title(n) for n in (view.best_donor, view.challenger)]
    kind = reference_kind(view.best_donor)
    words = element(
        "p",
        f"{kind.capitalize()} ", name(names[0]), f": {_right(donor)}. Challenger ", name(names[1]),
        f": {_right(challenger)}. Both were trained once more as in the finals, under their first "
        "seed; it is one training of several, for looking at, and decided nothing.",
    )  # fmt: skip
    pair = element(
        "div",
        [
            element("div", element("h3", name(title)), confusion(counts, classes))
            for title, counts in zip(names, (donor, challenger), strict=True)
        ],
        class_="pair",
    )
    cases = itertools.groupby(view.samples, key=lambda sample: sample.case)
    samples = [
        [
            element("h3", f"Test images where {case}".replace("best donor", kind)),
            element("ul", [_picture(s, classes, names) for s in group], class_="samples"),
        ]
        for case, group in cases
    ]
    return [words, pair, *itertools.chain.from_iterable(samples)]


def confusion(counts: np.ndarray, classes: Sequence[str]) -> Html:
    """Return a confusion matrix, or of many classes the commonest confusions.

    Args:
        counts: (true class, said class) numbers of images.
        classes: Class names.
    """
    return (_matrix if len(classes) <= _MATRIX_CLASSES else _commonest)(counts, classes)


def _right(counts: np.ndarray) -> str:
    right, total = int(np.trace(counts)), int(counts.sum())
    return f"{right:,} of {count(total, 'test image')} right ({percent(right / max(1, total), 1)})"


def _matrix(counts: np.ndarray, classes: Sequence[str]) -> Html:
    """Return the whole matrix as a table whose wrong cells are coloured by their share of a row."""
    sums = np.maximum(counts.sum(axis=1), 1)
    rows = []
    for number, class_name in enumerate(classes):
        cells = [element("th", name(shortened(class_name, 12)), scope="row", title=class_name)]
        for other in range(len(classes)):
            value = int(counts[number, other])
            share = value / sums[number]
            cells.append(
                element("td", str(value) if value else "·", style=_colour(share, number == other))
            )
        rows.append(element("tr", cells))
    head = element(
        "tr",
        element("th", "true \\ said", scope="col"),
        [element("th", name(shortened(c, 5)), scope="col", title=c) for c in classes],
    )
    content = element("table", element("thead", head), element("tbody", rows), class_="matrix")
    return element(
        "div",
        content,
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label="Confusion matrix: images by true class (rows) and predicted class (columns)",
    )


def _colour(share: float, is_right: bool) -> str | None:
    if share <= 0:
        return None
    strength = round(CELL_SHARE * min(1.0, share if is_right else 3 * share))
    colour = "mark" if is_right else "accent"
    return f"background:color-mix(in srgb,var(--{colour}) {strength}%,var(--paper))"


def _commonest(counts: np.ndarray, classes: Sequence[str]) -> Html:
    """Return the commonest confusions, for data with many classes."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(wrong, axis=None, kind="stable")[::-1][:_LISTED]
    rows = []
    for row, column in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[row, column]:
            share = wrong[row, column] / max(1, counts[row].sum())
            rows.append(
                [name(classes[row]), name(classes[column]), str(wrong[row, column]), percent(share)]
            )
    head = ["True class", "Said", "Images", "Share of class"]
    return table(head, rows, numeric=(2, 3), caption="The commonest confusions")


def _picture(sample: SampleView, classes: Sequence[str], names: Sequence[str]) -> Html:
    truth = classes[sample.label]
    picture = None
    if sample.png:
        picture = element(
            "img",
            src=f"data:image/png;base64,{sample.png}",
            alt=f"Test image {sample.image}, class {truth}",
            width="64",
            height="64",
        )
    answers = [
        element(
            "span",
            name(shortened(contestant, 18)), ": ", name(shortened(classes[said], 24)),
            ", " + percent(odds).replace(" ", "\N{NO-BREAK SPACE}"),
            class_="right" if said == sample.label else "wrong",
        )
        for contestant, said, odds in zip(names, sample.predicted, sample.confidence, strict=True)
    ]  # fmt: skip
    return element("li", picture, element("span", "is ", name(truth)), answers)
