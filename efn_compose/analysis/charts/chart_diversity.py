"""Diversity over generations, and the donors that the genes name."""

import itertools

from efn_compose.analysis.charts.chart_fitness import donor_legend
from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.palette import donor_class, letter
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    integer_ticks,
    polyline,
    rectangle,
    svg,
    text,
    x_axis,
    y_axis,
)
from efn_compose.analysis.reading.figures import percent
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.search_view import GenerationView, SearchView

#: Bars of the picture; with more generations only every so-manieth is drawn.
_BARS = 150


def diversity_figure(run: RunView, search: SearchView) -> Html | None:
    """Return the figure of diversity over generations; None for fewer than two, and for shares.

    Shares are numbers: two of them hardly ever agree, and no donor holds one.
    """
    if run.genomes.share_space is not None:
        return None
    generations = [g for g in search.generations if g.distance is not None]
    if len(generations) < 2:
        return None
    step = -(-len(generations) // _BARS)
    shown = generations[::step]

    def draw(width: float) -> Html:
        return _draw(run, shown, width)

    first, last = generations[0], generations[-1]
    words = (
        "Above: the share of genes in which two genomes of a generation differ, on average; it falls "
        f"as the search settles, here from {percent(first.distance)} to {percent(last.distance)}. "
        "Re-run elites and donors count. "
        "Below: which donors the genes of a generation name. "
    )
    leader = max(range(len(last.shares)), key=lambda donor: last.shares[donor])
    words += (
        f"In the last one, {letter(leader)}, {run.donor_name(leader)}, holds "
        f"{percent(last.shares[leader])} of them"
    )
    words += f" (it began with {percent(first.shares[leader])})."
    if step > 1:
        words += f" Every {step}th generation is drawn."
    return figure(draw, words, donor_legend(run, (donor.number for donor in run.donors)))


def _draw(run: RunView, generations: list[GenerationView], width: float) -> Html:
    narrow = width < 500
    numbers = [generation.number for generation in generations]
    gap = min((b - a for a, b in itertools.pairwise(numbers)), default=1) or 1
    x_range = (numbers[0] - gap / 2, numbers[-1] + gap / 2)
    high = 1.0 if max(g.distance or 0 for g in generations) > 0.5 else 0.5
    upper = Frame(44, 30, width - 58, 120, x_range, (0.0, high))
    lower = Frame(44, 200, width - 58, 130, x_range, (0.0, 1.0))
    points = [(upper.x(g.number), upper.y(g.distance or 0.0)) for g in generations]
    marks: list[object] = _percent_axis(
        upper, [0.0, high / 2, high], "Mean difference between genomes"
    )
    marks.append(polyline(points, "best ink"))
    marks.append(dots(points, "inked"))
    marks += _percent_axis(lower, [0.0, 0.5, 1.0], "Share of genes by donor")
    bar = max(1.0, lower.width / max(1, len(generations)) * 0.86)
    for generation in generations:
        start = 0.0
        for donor, share in enumerate(generation.shares):
            if share <= 0:
                continue
            top, bottom = lower.y(start + share), lower.y(start)
            title = f"generation {generation.number}: {letter(donor)} {percent(share)}"
            marks.append(
                rectangle(
                    lower.x(generation.number) - bar / 2,
                    top,
                    bar,
                    max(0.3, bottom - top - (0.8 if bottom - top > 3 else 0)),
                    donor_class(donor),
                    title if len(generations) <= 60 else "",
                )
            )
            if bottom - top > 15 and bar > 20:
                middle = (top + bottom) / 2 + 4
                marks.append(
                    text(
                        lower.x(generation.number), middle, letter(donor), f"t{donor % 8}", "middle"
                    )
                )
            start += share
    ticks = integer_ticks(numbers[0], numbers[-1], 5 if narrow else 12)
    marks += x_axis(lower, ticks, "Generation")
    label = f"Diversity over {len(generations)} generations"
    return svg(width, lower.bottom + 42, marks, label=label)


def _percent_axis(frame: Frame, ticks: list[float], title: str) -> list[object]:
    marks: list[object] = list(y_axis(frame, [], title))
    for tick in ticks:
        y = frame.y(tick)
        marks.append(element("line", x1=frame.left, y1=y, x2=frame.right, y2=y, class_="grid"))
        marks.append(text(frame.left - 7, y + 4, percent(tick), "tick", "end"))
    return marks
