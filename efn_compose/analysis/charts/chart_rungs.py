"""Cheap rungs against the full evaluation: one small picture per rung, and a table."""

import numpy as np

from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.report_parts import table
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    nice_ticks,
    svg,
    text,
    x_axis,
    y_axis,
)
from efn_compose.analysis.reading.figures import NOTHING, count, duration
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.rungs_view import RungView, rungs_view
from efn_compose.evolve.genetic.rungs import TRUSTED

#: Losses above this quantile leave the picture, or one diverged epoch would flatten the rest.
_VISIBLE_QUANTILE = 0.95


def rungs_section(run: RunView) -> list[Html | None]:
    """Return the section on cheap rungs; empty if the journal holds none."""
    rungs = rungs_view(run)
    if not rungs:
        return []
    words = (
        "A rung looks at newcomers cheaply and can reject them. In the first generation every genome "
        "stands on every rung and is evaluated fully as well. A rung whose order agrees too little "
        f"with that is not used again (rank correlation below {TRUSTED:g})."
    )
    return [element("p", words), _figure(rungs), _table(rungs)]


def _figure(rungs: list[RungView]) -> Html | None:
    shown = [rung for rung in rungs if len(rung.pairs) > 1]
    if not shown:
        return None

    def draw(width: float) -> Html:
        columns = 1 if width < 500 else min(3, len(shown))
        each, height = width / columns, 240.0
        marks: list[object] = []
        for number, rung in enumerate(shown):
            left, top = (number % columns) * each, (number // columns) * (height + 20)
            marks += _draw(rung, left, top, each, height)
        rows = -(-len(shown) // columns)
        label = "; ".join(f"{rung.name}: {_correlation_words(rung)}" for rung in shown)
        return svg(width, rows * (height + 20), marks, label=f"Rank correlations: {label}")

    return figure(
        draw,
        "Each mark is a genome of the first generation: its loss on the rung, and that of its full "
        "evaluation under the same seed. Only the order along the two axes counts.",
    )


def _draw(rung: RungView, left: float, top: float, width: float, height: float) -> list[object]:
    ranges = []
    for side in rung.pairs.T:
        low, high = float(side.min()), float(np.quantile(side, _VISIBLE_QUANTILE))
        pad = (high - low or abs(low) or 1.0) * 0.1
        ranges.append((low - pad, high + pad))
    frame = Frame(left + 44, top + 44, width - 70, height - 90, *ranges)
    points = [
        (frame.x(x), frame.y(y)) for x, y in rung.pairs if x <= ranges[0][1] and y <= ranges[1][1]
    ]
    return [
        text(left + 2, top + 12, f"{rung.name}: {_correlation_words(rung)}", "tick strong"),
        text(left + 2, top + 30, "full loss (nats)", "axis"),
        *y_axis(frame, nice_ticks(*frame.y_range, 4), ""),
        dots(points, "big inked" if len(points) < 60 else "inked"),
        *x_axis(frame, nice_ticks(*frame.x_range, 3), "loss on the rung"),
    ]


def _correlation_words(rung: RungView) -> str:
    if rung.correlation is None:
        return "correlation unknown"
    return f"rank correlation {rung.correlation:+.2f}"


def _table(rungs: list[RungView]) -> Html:
    rows = []
    for rung in rungs:
        interval = NOTHING
        if rung.interval is not None:
            interval = f"{rung.interval[0]:+.2f} to {rung.interval[1]:+.2f}"
        trusted = NOTHING
        if rung.correlation is not None:
            trusted = "yes" if rung.correlation >= TRUSTED else "no"
        share = f"{rung.seconds / rung.full_seconds:.2f}" if rung.full_seconds else NOTHING
        rows.append(
            [
                name(rung.name),
                NOTHING if rung.correlation is None else f"{rung.correlation:+.2f}",
                interval,
                str(len(rung.pairs)),
                trusted,
                f"{rung.evaluations:,}",
                f"{rung.rejected:,}",
                duration(rung.seconds),
                share,
            ]
        )
    head = ["Rung", "Rank correlation", "95 % interval", "Genomes", "Trusted", "Evaluations"]
    head += ["Genomes rejected", "Time each", "Of a full one"]
    caption = (
        f"{count(len(rungs), 'rung')}; Spearman's correlation over the first generation, its interval "
        "by resampling genomes."
    )
    return table(head, rows, numeric=range(1, len(head)), caption=caption)
