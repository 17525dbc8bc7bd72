"""Curves of one monitor over the epochs of several trainings."""

from collections.abc import Sequence
from dataclasses import dataclass

from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.palette import donor_class, letter
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    integer_ticks,
    nice_ticks,
    polyline,
    svg,
    text,
    x_axis,
    y_axis,
)


@dataclass(frozen=True)
class Curve:
    """One training's values of a monitor.

    Args:
        name: Of the training.
        points: (epoch, value).
    """

    name: str
    points: Sequence[tuple[int, float]]


def monitor_figure(title: str, curves: Sequence[Curve], words: str) -> Html:
    """Return the figure of one monitor, a line and a letter for each training.

    Args:
        title: Of the axis.
        curves: One or more, none empty.
        words: What the monitor means.
    """
    names = ", ".join(f"{letter(number)}: {curve.name}" for number, curve in enumerate(curves))
    return figure(lambda width: _draw(title, curves, width), f"{words} {names}.")


def _draw(title: str, curves: Sequence[Curve], width: float) -> Html:
    epochs = [epoch for curve in curves for epoch, _ in curve.points]
    values = [value for curve in curves for _, value in curve.points]
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.06 * abs(high) or 0.06
    frame = Frame(
        52, 30, width - 84, 130, (min(epochs), max(max(epochs), min(epochs) + 1)), (low - pad, high + pad)
    )  # fmt: skip
    marks: list[object] = list(y_axis(frame, nice_ticks(*frame.y_range, 4), title))
    for number, curve in enumerate(curves):
        points = [(frame.x(epoch), frame.y(value)) for epoch, value in curve.points]
        line = [polyline(points, "donor-line"), dots(points, "")]
        marks.append(element("g", line, style=f"stroke:var(--{donor_class(number)})"))
        x, y = points[-1]
        marks.append(text(min(x + 7, frame.right + 7), y + 4, letter(number), "strong"))
    marks += x_axis(frame, integer_ticks(*frame.x_range, 5 if width < 500 else 10), "Epoch")
    return svg(width, frame.bottom + 42, marks, label=f"{title} over the epochs")
