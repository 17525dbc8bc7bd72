"""Shares of relatives: how the loss depends on each, and where the search went."""

import itertools

import numpy as np

from efn_compose.analysis.charts.chart_fitness import donor_legend
from efn_compose.analysis.html.markup import Html
from efn_compose.analysis.html.palette import letter
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    integer_ticks,
    line,
    nice_ticks,
    polygon,
    polyline,
    shortened,
    spread,
    svg,
    text,
    x_axis,
    y_axis,
)
from efn_compose.analysis.reading.composition.shares import ShareCurve, SharesView, shares_view
from efn_compose.analysis.reading.figures import count, loss_text
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.search_view import SearchView
from efn_compose.compose.share_space import HIGHEST, LOWEST

#: Believed losses above this quantile of all curves leave the picture: far from all evaluations
#: nothing is known.
_VISIBLE_QUANTILE = 0.9
#: Height of a panel of curves, and panels in a row of a wide page.
_HEIGHT, _COLUMNS = 210.0, 3
_TICKS = [LOWEST, 0.0, 0.5, 1.0, HIGHEST]


def shares_section(run: RunView, search: SearchView) -> list[Html | None]:
    """Return the section on shares; empty where genes are none."""
    view = shares_view(run, search)
    if view is None:
        return []
    return [_curves_figure(run, view), _levels_figure(run, view)]


def _curves_figure(run: RunView, view: SharesView) -> Html:
    ancestor = run.donor_name(run.ancestor)
    caption = (
        f"What a model of {count(view.evaluations, 'evaluation')} believes of each relative: the "
        "validation loss (nats) if its share were another, and all other shares stayed. The band is "
        "one standard deviation of that belief. The dot is the composition. "
        f"Share 0 takes nothing from the relative, 1 its whole difference to {ancestor}, the ancestor; "
        "a share below 0 goes the opposite way. "
        "A flat curve says that this share hardly matters."
    )

    def draw(width: float) -> Html:
        columns = 1 if width < 500 else min(_COLUMNS, len(view.curves))
        y_range = _range(view.curves)
        marks: list[object] = []
        for number, curve in enumerate(view.curves):
            row, column = divmod(number, columns)
            place = (column * width / columns, row * (_HEIGHT + 24))
            marks += _panel(run, curve, place, width / columns, y_range)
        rows = -(-len(view.curves) // columns)
        return svg(width, rows * (_HEIGHT + 24), marks, label=_label(run, view))

    return figure(draw, caption)


def _label(run: RunView, view: SharesView) -> str:
    words = [f"{run.donor_name(curve.donor)} {loss_text(curve.found, 2)}" for curve in view.curves]
    return "Shares of the composition: " + ", ".join(words)


def _range(curves: tuple[ShareCurve, ...]) -> tuple[float, float]:
    """Return the losses that all panels show."""
    low = min(float((curve.means - curve.deviations).min()) for curve in curves)
    means = np.concatenate([curve.means for curve in curves])
    high = float(np.quantile(means, _VISIBLE_QUANTILE))
    pad = (high - low or abs(low) or 1.0) * 0.06
    return low - pad, high + pad


def _panel(
    run: RunView,
    curve: ShareCurve,
    place: tuple[float, float],
    width: float,
    y_range: tuple[float, float],
) -> list[object]:
    left, top = place
    frame = Frame(left + 44, top + 40, width - 66, _HEIGHT - 84, (LOWEST, HIGHEST), y_range)
    limit = max(4, int((width - 40) / 8))
    title = shortened(f"{letter(curve.donor)}  {run.donor_name(curve.donor)}", limit)
    colour = f"s{curve.donor % 8}"
    seen = _inside(curve, frame)
    lower = [(frame.x(x), frame.y(max(m - d, y_range[0]))) for x, m, d in seen]
    upper = [(frame.x(x), frame.y(min(m + d, y_range[1]))) for x, m, d in seen]
    at = float(np.interp(curve.found, curve.shares, curve.means))
    marks: list[object] = [
        text(left + 2, top + 14, title, "tick strong"),
        *y_axis(frame, nice_ticks(*y_range, 3), ""),
        line(frame.x(0.0), frame.top, frame.x(0.0), frame.bottom, "guide"),
        line(frame.x(1.0), frame.top, frame.x(1.0), frame.bottom, "guide"),
        polygon([*lower, *reversed(upper)], "noise"),
        polyline([(frame.x(x), frame.y(m)) for x, m, _ in seen], f"donor-line {colour}"),
    ]
    if at <= y_range[1]:
        marks.append(dots([(frame.x(curve.found), frame.y(at))], "accent big"))
    return [*marks, *x_axis(frame, _TICKS, "share")]


def _inside(curve: ShareCurve, frame: Frame) -> list[tuple[float, float, float]]:
    """Return share, mean and deviation of the longest stretch around the composition that is in sight."""
    is_in = curve.means <= frame.y_range[1]
    middle = int(np.abs(curve.shares - curve.found).argmin())
    before = list(itertools.takewhile(lambda n: is_in[n], range(middle, -1, -1)))[::-1]
    after = list(itertools.takewhile(lambda n: is_in[n], range(middle + 1, len(is_in))))
    return [
        (float(curve.shares[n]), float(curve.means[n]), float(curve.deviations[n]))
        for n in [*before, *after]
    ]


def _levels_figure(run: RunView, view: SharesView) -> Html | None:
    if len(view.generations) < 2:
        return None
    donors = [curve.donor for curve in view.curves]
    first, last = view.generations[0], view.generations[-1]
    low, high = min(float(view.levels.min()), 0.0), max(float(view.levels.max()), 1.0)

    def draw(width: float) -> Html:
        frame = Frame(44, 30, width - 90, 190, (first, last), (low - 0.05, high + 0.05))
        marks: list[object] = list(y_axis(frame, nice_ticks(low, high, 4), "Mean share"))
        ends = spread([frame.y(level) for level in view.levels[-1]], 13, frame.top, frame.bottom)
        for donor, levels, end in zip(donors, view.levels.T, ends, strict=True):
            points = [
                (frame.x(n), frame.y(level))
                for n, level in zip(view.generations, levels, strict=True)
            ]
            marks += [
                polyline(points, f"donor-line s{donor % 8}"),
                dots(points, f"s{donor % 8}"),
                text(frame.right + 9, end + 4, letter(donor), "strong"),
            ]
        ticks = integer_ticks(first, last, 5 if width < 500 else 12)
        marks += x_axis(frame, ticks, "Generation")
        return svg(width, frame.bottom + 42, marks, label="Mean share of each relative")

    caption = (
        "The mean share of each relative over the genomes of a generation. Where lines move apart, the "
        "search prefers some relatives to others."
    )
    return figure(draw, caption, donor_legend(run, donors))
