"""Fitness over evaluations: every candidate, donors as lines, the noise band, repetitions."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.palette import donor_class, letter
from efn_compose.analysis.html.report_svg import (
    Frame,
    crosses,
    dots,
    figure,
    integer_ticks,
    line,
    nice_ticks,
    polyline,
    rectangle,
    rings,
    spread,
    svg,
    text,
    text_width,
    triangles,
    x_axis,
    y_axis,
)
from efn_compose.analysis.reading.evaluation_view import EvaluationView
from efn_compose.analysis.reading.figures import count, loss_text
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.noise import Noise
from efn_compose.analysis.reading.search_view import SearchView
from efn_compose.evolve.verdict.verdict import AVERAGE

PHASE_TITLES = {
    "noise": "noise",
    "rung": "rungs",
    "search": "search",
    "population": "population",
    "soup": "averages",
    "final": "finals",
    "test": "test",
}
#: Losses above this quantile may leave the picture, or one diverged epoch would flatten the rest.
_VISIBLE_QUANTILE = 0.95
#: Generations that still get a band and a number each.
_BANDS = 40
_FEW, _MANY = 150, 1500


@dataclass(frozen=True)
class _Series:
    """The marks of the picture, by kind."""

    composed: list[EvaluationView]
    donors: dict[int, list[EvaluationView]]
    reruns: list[EvaluationView]
    failures: list[EvaluationView]
    finalists: list[EvaluationView]
    averages: list[EvaluationView]


def fitness_figure(run: RunView, search: SearchView, noise: Noise | None) -> Html:
    """Return the figure of all evaluations in the order they were made."""
    series = _series(run)
    # A cheap rung's loss is another quantity; rungs have a picture of their own.
    scored = [e for e in run.evaluations if e.loss is not None and e.phase != "rung"]
    if not scored:
        return element("p", "No evaluation has a score yet.", class_="quiet")
    losses = [e.loss for e in scored if e.loss is not None]
    low, high = _range(losses, search.standing.donors.values())
    outside = [e for e in scored if e.loss is not None and e.loss > high]
    label = (
        f"Validation loss of {count(len(scored), 'evaluation')} in order, "
        f"from {loss_text(min(losses))} upwards."
    )

    def draw(width: float) -> Html:
        return _draw(run, series, search, noise, (low, high), outside, width, label)

    return figure(
        draw,
        _caption(run, search, noise, scored, outside),
        _legend(run, search, series, noise),
    )


def _series(run: RunView) -> _Series:
    series = _Series([], {}, [], [], [], [])
    seen: set[tuple[float, ...]] = set()
    for e in run.evaluations:
        if e.phase == "rung":
            continue
        if e.error is not None or e.loss is None:
            series.failures.append(e)
            continue
        is_founder = e.kind == "genome" and not e.is_descendant
        donor = run.genomes.pure_donor(e.values) if is_founder else None
        if donor is not None:
            series.donors.setdefault(donor, []).append(e)
        elif e.phase in ("final", "test"):
            (series.averages if e.arm == AVERAGE else series.finalists).append(e)
        else:
            series.composed.append(e)
        if e.phase == "search":
            if e.values in seen:
                series.reruns.append(e)
            seen.add(e.values)
    return series


def _range(losses: Sequence[float], donors: Iterable[float]) -> tuple[float, float]:
    """Return the visible losses: all but the worst few, and every donor's line."""
    low = min(losses)
    high = max([float(np.quantile(losses, _VISIBLE_QUANTILE)), *donors])
    pad = (high - low or abs(low) or 1.0) * 0.06
    return low - pad, high + pad


def _draw(
    run: RunView,
    series: _Series,
    search: SearchView,
    noise: Noise | None,
    y_range: tuple[float, float],
    outside: Sequence[EvaluationView],
    width: float,
    label: str,
) -> Html:
    narrow = width < 500
    letters = max([text_width(letter(d)) for d in series.donors] or [8])
    height = 330.0 if narrow else 430.0
    first, last = run.evaluations[0].index, run.evaluations[-1].index
    frame = Frame(
        left=44.0,
        top=62.0,
        width=width - 44 - letters - 14,
        height=height - 62 - 48,
        x_range=(first - 0.5, max(last, first + 1) + 0.5),
        y_range=y_range,
    )
    marks: list[object] = _bands(run, search, frame)
    marks += y_axis(frame, nice_ticks(*y_range, 5), "")
    marks.append(text(2, 14, "Validation loss (nats), lower is better", "axis"))
    marks += _noise_band(noise, series, frame)
    marks += _donor_lines(search, series, frame)

    def places(evaluations: Iterable[EvaluationView]) -> list[tuple[float, float]]:
        return [
            (frame.x(e.index), frame.y(e.loss))
            for e in evaluations
            if e.loss is not None and e.loss <= y_range[1]
        ]

    marks.append(dots(places(series.composed), "composed"))
    marks.append(dots(places(series.finalists), "accent"))
    marks.append(crosses(places(series.averages), 3.0, "average"))
    for donor, evaluations in sorted(series.donors.items()):
        marks.append(dots(places(evaluations), f"s{donor % 8}"))
    if len(run.evaluations) <= _MANY:
        marks.append(rings(places(series.reruns), 4.6, "ring"))
    marks.append(triangles([(frame.x(e.index), frame.top + 1) for e in outside], 3.4, "out"))
    strip = frame.bottom + 12
    failed = [(frame.x(e.index), strip) for e in series.failures]
    marks.append(crosses(failed, 3.2, "failed"))
    marks += _incumbents(search, frame)
    shift = 20 if failed else 0
    axis = Frame(
        frame.left, frame.top, frame.width, frame.height + shift, frame.x_range, frame.y_range
    )
    ticks = integer_ticks(first, last, 4 if narrow else 9)
    marks += x_axis(axis, ticks, "Evaluation, in the order of the journal")
    total = len(run.evaluations)
    density = "few" if total < _FEW else "many" if total > _MANY else None
    return svg(width, height + shift, element("g", *marks, class_=density), label=label)


def _bands(run: RunView, search: SearchView, frame: Frame) -> list[object]:
    """Return alternating bands for generations, and the names of phases above."""
    marks: list[object] = []
    generations = search.generations
    if len(generations) <= _BANDS:
        end = float("-inf")
        for position, generation in enumerate(generations):
            left = frame.x(generation.first - 0.5)
            right = frame.x(generation.last + 0.5)
            if position % 2 == 0:
                marks.append(rectangle(left, frame.top, right - left, frame.height, "band"))
            name = str(generation.number)
            middle = (left + right) / 2
            if middle - text_width(name) / 2 > end + 5:
                marks.append(text(middle, frame.top - 6, name, "tick", "middle"))
                end = middle + text_width(name) / 2
    end = float("-inf")
    for phase, evaluations in run.by_phase.items():
        left = frame.x(evaluations[0].index - 0.5)
        marks.append(line(left, frame.top - 34, left, frame.bottom, "guide"))
        title = PHASE_TITLES.get(phase, phase)
        width = text_width(title)
        x = max(left + 3, end + 8)
        if x + width <= frame.right + 14:
            marks.append(text(x, frame.top - 24, title, "tick strong"))
            end = x + width
    return marks


def _noise_band(noise: Noise | None, series: _Series, frame: Frame) -> list[object]:
    if noise is None or noise.deviation is None:
        return []
    low = max(frame.y_range[0], noise.centre - noise.deviation)
    high = min(frame.y_range[1], noise.centre + noise.deviation)
    if high <= low:
        return []
    top, bottom = frame.y(high), frame.y(low)
    return [rectangle(frame.left, top, frame.width, bottom - top, "noise")]


def _donor_lines(search: SearchView, series: _Series, frame: Frame) -> list[object]:
    """Return a line per donor at its believed or mean loss, its letter at the right end."""
    means = dict(search.standing.donors)
    for donor, evaluations in series.donors.items():
        means.setdefault(donor, float(np.mean([e.loss for e in evaluations])))
    shown = [d for d in sorted(means) if frame.y_range[0] <= means[d] <= frame.y_range[1]]
    at = spread([frame.y(means[d]) for d in shown], 13.0, frame.top + 6, frame.bottom)
    marks: list[object] = []
    for donor, place in zip(shown, at, strict=True):
        y = frame.y(means[donor])
        marks.append(line(frame.left, y, frame.right, y, f"donor-line s{donor % 8}"))
        marks.append(line(frame.right, y, frame.right + 6, place, f"donor-line s{donor % 8}"))
        marks.append(text(frame.right + 9, place + 4, letter(donor), "strong"))
    return marks


def _incumbents(search: SearchView, frame: Frame) -> list[object]:
    """Return the stepped line of the genome believed best."""
    points: list[tuple[float, float]] = []
    low, high = frame.y_range
    for found in search.incumbents:
        x, y = frame.x(found.index + 0.5), frame.y(min(max(found.loss, low), high))
        if points:
            points.append((x, points[-1][1]))
        points.append((x, y))
    return [polyline(points, "best")] if len(points) > 1 else []


def _legend(run: RunView, search: SearchView, series: _Series, noise: Noise | None) -> Html:
    def swatch(mark: object) -> Html:
        return element(
            "svg", mark, viewBox="0 0 16 12", width="16", height="12", aria_hidden="true"
        )

    entries: list[tuple[object, str]] = []
    if series.composed:
        entries.append((dots([(8, 6)], "composed"), "composed candidate"))
    if series.finalists:
        entries.append((dots([(8, 6)], "accent"), "composed finalist on fresh seeds"))
    if series.averages:
        entries.append((crosses([(8, 6)], 3.0, "average"), "uniform average"))
    if len(search.incumbents) > 1:
        entries.append((polyline([(0, 6), (16, 6)], "best"), "believed best so far"))
    if series.reruns and len(run.evaluations) <= _MANY:
        entries.append((rings([(8, 6)], 4.6, "ring"), "re-run on purpose"))
    if series.failures:
        entries.append((crosses([(8, 6)], 3.2, "failed"), "failed"))
    if noise is not None and noise.deviation is not None:
        entries.append((rectangle(0, 0, 16, 12, "noise"), "± 1 standard deviation of luck"))
    items = [element("li", swatch(mark), words) for mark, words in entries]
    for donor in sorted(series.donors):
        mark = line(0, 6, 16, 6, f"donor-line s{donor % 8}")
        items.append(
            element("li", swatch(mark), chip(donor), " ", element("bdi", run.donor_name(donor)))
        )
    return element("ul", *items, class_="legend")


def chip(donor: int) -> Html:
    """Return a donor's letter on its colour."""
    return element("span", letter(donor), class_=f"chip {donor_class(donor)}")


def donor_legend(run: RunView, donors: Iterable[int]) -> Html:
    """Return the letters and names of donors, in the order given."""
    items = [
        element("li", chip(donor), " ", element("bdi", run.donor_name(donor))) for donor in donors
    ]
    return element("ul", items, class_="legend")


def _caption(
    run: RunView,
    search: SearchView,
    noise: Noise | None,
    scored: Sequence[EvaluationView],
    outside: Sequence[EvaluationView],
) -> list[object]:
    words = ["Each dot is one training run of a candidate, scored on the search-validation split."]
    best, rival = search.standing.best, search.standing.best_donor
    if not search.standing.donors:
        words.append("A donor's line is its mean loss.")
    else:
        words.append(
            "A donor's line is the loss that the search believes of it: its mean over its runs, the "
            "luck of each generation's seed removed, moved towards the middle of all candidates, "
            "and less so the more often it was run. The same is believed of every genome."
        )
    if best is not None and rival is not None and rival.donor is not None:
        gain = rival.loss - best.loss
        if best.donor is not None:
            words.append(
                f"No composed genome is believed better than donor {letter(rival.donor)} "
                f"({loss_text(rival.loss)})."
            )
        else:
            side = "below" if gain > 0 else "above"
            words.append(
                f"The genome believed best has a believed loss of {loss_text(best.loss)} after "
                f"{count(best.runs, 'run')}, {loss_text(abs(gain))} {side} the best donor, "
                f"{letter(rival.donor)} ({loss_text(rival.loss)}). It was chosen for being low, so "
                "expect less of it on fresh seeds."
            )
    believed = [found.loss for found in search.incumbents]
    if any(later > earlier for earlier, later in itertools.pairwise(believed)):
        words.append(
            "Where the line of the believed best rises, further runs showed that an earlier score "
            "had been luck."
        )
    if noise is not None and noise.deviation is not None:
        words.append(
            f"The grey band is what luck alone does to one evaluation (± {loss_text(noise.deviation)})."
        )
    if outside:
        words.append(
            "Triangles at the upper edge stand for what scored worse than the picture shows: "
            f"{count(len(outside), 'evaluation')} of {len(scored):,}."
        )
    return [" ".join(words)]
