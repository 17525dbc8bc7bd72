"""Parallel coordinates: every point as a line through its levels and its score."""

import numpy as np

from efn_compose.analysis.html.markup import Html
from efn_compose.analysis.html.report_svg import (
    figure,
    line,
    polyline,
    shortened,
    svg,
    text,
    told_apart,
)
from efn_compose.analysis.reading.figures import loss_text
from efn_compose.analysis.reading.study.view import StudyView, level_text

STYLE = (
    ".thread,.tied{fill:none;stroke:var(--mark);stroke-width:1;opacity:.55}"
    ".tied{stroke:var(--accent)}"
    # Labels lie on lines.
    ".halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}"
)
#: Tied combinations that are drawn as boldly as a single best one.
_FEW = 6


def parallel_figure(study: StudyView) -> Html | None:
    """Return the picture, None where nothing varies."""
    shown = np.flatnonzero(np.isfinite(study.means))
    if not study.axes or len(shown) < 2:
        return None
    low, high = float(study.means[shown].min()), float(study.means[shown].max())
    if study.sign > 0:
        low, high = high, low  # the better end is the upper one, or the right one

    def draw(width: float) -> Html:
        is_narrow = width < 500
        gap = 62.0 if is_narrow else (width - 150) / len(study.axes)
        length = width - 40 if is_narrow else 230.0

        def place(axis: int, share: float) -> tuple[float, float]:
            if is_narrow:
                return 20 + share * length, 34 + axis * gap
            return 60 + axis * gap, 40 + (1 - share) * length

        def thread(point: int) -> list[tuple[float, float]]:
            levels = study.levels[point]
            shares = [
                (n + 0.5) / len(names) for (_, names), n in zip(study.axes, levels, strict=True)
            ]
            mean = float(study.means[point])
            shares.append(0.5 if high == low else (mean - low) / (high - low))
            return [place(axis, share) for axis, share in enumerate(shares)]

        tied = set(study.lead.tied)
        bold = "best" if len(tied) <= _FEW else "tied"
        marks: list[object] = [
            polyline(thread(int(p)), "thread") for p in shown if int(p) not in tied
        ]
        marks += [polyline(thread(int(p)), bold) for p in shown if int(p) in tied]
        ends = [
            *study.axes,
            (study.mean_name if study.is_of_several else f"mean {study.metric}", []),
        ]
        for axis, (name, levels) in enumerate(ends):
            marks.append(line(*place(axis, 0.0), *place(axis, 1.0), "frame"))
            x, y = (place(axis, 0.0)[0], place(axis, 0.0)[1] - 20) if is_narrow else (
                place(axis, 1.0)[0], 20.0
            )  # fmt: skip
            letters = 30 if is_narrow else max(4, int(gap / 7.5))
            words = shortened(name, letters)
            marks.append(text(x, y, words, "axis strong halo", "start" if is_narrow else "middle"))
            room = int(length / max(1, len(levels)) / 7.5) if is_narrow else letters - 2
            called = told_apart([level_text(level) for level in levels], max(3, room))
            spots = [((n + 0.5) / len(levels), words) for n, words in enumerate(called)]
            spots = spots or [(0.0, loss_text(low, 3)), (1.0, loss_text(high, 3))]
            for share, label in spots:
                x, y = place(axis, share)
                if is_narrow:
                    anchor = "start" if share == 0 else "end" if share == 1 else "middle"
                    marks.append(text(x, y + 15, label, "tick halo", anchor))
                else:
                    marks.append(text(x + 6, y + 4, label, "tick halo"))
        height = 34 + gap * len(study.axes) + 26 if is_narrow else 40 + length + 14
        return svg(width, height, marks, label="Levels and score of every combination")

    caption = (
        "Every line is a combination; the last axis is its mean score, the better end "
        "at the top (on a phone at the right). Coloured: the best, or those tied with it."
    )
    caption += study.mean_note
    return figure(draw, caption)
