"""Score against cost, and the points that none beats in both."""

import math

import numpy as np

from efn_compose.analysis.html.markup import Html
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    nice_ticks,
    polyline,
    spread,
    svg,
    text,
    x_axis,
    y_axis,
)
from efn_compose.analysis.reading.study.view import StudyView


def cost_figure(study: StudyView, costs: np.ndarray, title: str) -> Html | None:
    """Return score against a cost, the front drawn through; None with fewer than two points.

    Args:
        study: The study.
        costs: (combination,), NaN where unknown.
        title: The cost in words.
    """
    shown = np.flatnonzero(np.isfinite(costs) & np.isfinite(study.means) & (costs > 0))
    if len(shown) < 2:
        return None
    front = study.front(np.where(costs > 0, costs, np.nan))
    x_values = np.log10(costs[shown])
    pad = (float(np.ptp(x_values)) or 1.0) * 0.06
    x_range = (float(x_values.min()) - pad, float(x_values.max()) + pad)
    y_values = study.means[shown]
    lift = (float(np.ptp(y_values)) or 0.1) * 0.08
    y_range = (float(y_values.min()) - lift, float(y_values.max()) + lift)

    def draw(width: float) -> Html:
        frame = Frame(52, 30, width - 76, 260, x_range, y_range)

        def place(point: int) -> tuple[float, float]:
            return frame.x(math.log10(costs[point])), frame.y(float(study.means[point]))

        marks: list[object] = list(y_axis(frame, nice_ticks(*y_range, 5), study.mean_name))
        tied = set(study.lead.tied)
        marks.append(polyline([place(point) for point in front], "average"))
        marks.append(dots([place(int(p)) for p in shown if int(p) not in tied], "composed"))
        marks.append(dots([place(int(p)) for p in shown if int(p) in tied], "accent"))
        heights = spread([place(p)[1] for p in front], 13, frame.top, frame.bottom)
        for point, height in zip(front, heights, strict=True):
            marks.append(text(place(point)[0] + 6, height - 4, str(point), "tick strong"))
        ticks = _log_ticks(*x_range)
        labels = [_cost_text(10**tick) for tick in ticks]
        marks += x_axis(frame, ticks, title, labels)
        return svg(width, frame.bottom + 44, marks, label=f"{study.metric} against {title}")

    caption = (
        f"Mean {study.metric} against {title}, on a logarithmic scale. The line joins the points that "
        "none beats in both; their numbers are those of the table. Coloured: best, or tied with it."
        f"{study.mean_note}"
    )
    return figure(draw, caption)


def _log_ticks(low: float, high: float) -> list[float]:
    found = [
        math.log10(step) + power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for step in (1, 2, 5)
    ]
    inside = [tick for tick in found if low <= tick <= high]
    return inside if len(inside) > 1 else [low, high]


def _cost_text(value: float) -> str:
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size * 0.999:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
