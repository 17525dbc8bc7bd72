"""Time of a run: each worker's evaluations, and the phases of an evaluation."""

from collections.abc import Sequence

from efn_compose.analysis.html.markup import Html, element, short
from efn_compose.analysis.html.report_parts import table
from efn_compose.analysis.html.report_svg import (
    Frame,
    figure,
    nice_ticks,
    rectangle,
    svg,
    text,
    x_axis,
)
from efn_compose.analysis.reading.figures import NOTHING, count, duration, percent
from efn_compose.analysis.reading.journal_view import RunView
from efn_compose.analysis.reading.search_view import SearchView
from efn_compose.analysis.reading.timing import Interval, Timing

#: Workers drawn; a larger cluster is cut off, with a word about it.
_ROWS = 48
_UNITS = ((1.0, "seconds"), (60.0, "minutes"), (3600.0, "hours"), (86400.0, "days"))
_PHASES = {
    "noise": "noise",
    "rung": "cheap rungs",
    "search": "search",
    "control": "random compositions",
    "population": "trained population",
    "soup": "averages",
    "final": "finals",
    "test": "test",
}
#: By phase of `result.json`: its title, and the phases of the journal that its evaluations have.
_RUN_PHASES = {
    "donors": ("Preparing the donors", ()),
    "noise": ("Measuring the noise", ("noise",)),
    "search": ("Search", ("rung", "search", "control", "population", "soup")),
    "final": ("Finals on fresh seeds, test", ("final", "test")),
    "finish": ("Composing the written weights", ()),
    "predictions": ("Predictions to look at", ()),
}
_WORDS = {
    "compose": "Compose the candidate's weights",
    "assign": "Assign them, reset head and optimizer",
    "bn": "Re-estimate BatchNorm statistics",
    "epoch": "Train",
    "score": "Score",
    "other": "Everything else in the worker",
}

STYLE = """
.g-noise{fill:var(--mark);opacity:.45}.g-search{fill:var(--mark)}.g-control{fill:var(--mark);opacity:.6}.g-final{fill:var(--ink-2)}
.g-rung,.g-soup{fill:var(--mark);opacity:.7}.g-population{fill:var(--mark)}.g-test{fill:var(--accent)}.g-failed{fill:var(--warn)}
.bar{display:block;height:.7rem;background:var(--mark);min-width:1px;margin-top:.4rem}
.bar.work{background:var(--ink-2)}
.barcell{width:38%}
.seed{fill:var(--mark)}
.interval{stroke-width:1.4}.thick{stroke-width:4.5}
.big{stroke-width:11}
.best.ink{stroke:var(--ink-2)}
.inked{stroke:var(--ink-2)}
"""


def time_figure(run: RunView, clock: Timing) -> Html | None:
    """Return the Gantt chart of workers; None where no times are known."""
    if not clock.intervals or clock.span_seconds <= 0:
        return None
    workers = clock.workers[:_ROWS]

    def draw(width: float) -> Html:
        return _draw(clock, workers, width)

    phases = [phase for phase in _PHASES if phase in run.by_phase]
    entries = [(f"g-{phase}", _PHASES[phase]) for phase in phases]
    if any(interval.is_failed for interval in clock.intervals):
        entries.append(("g-failed", "failed"))
    items = [
        element(
            "li",
            element(
                "svg",
                rectangle(0, 0, 16, 12, class_),
                viewBox="0 0 16 12",
                width="16",
                height="12",
                aria_hidden="true",
            ),
            words,
        )
        for class_, words in entries
    ]
    return figure(draw, _caption(clock, workers), element("ul", items, class_="legend"))


def _caption(clock: Timing, workers: Sequence[int]) -> str:
    available = clock.busy_seconds * len(clock.workers)
    idle = max(0.0, 1 - clock.worker_seconds / available) if available else 0.0
    words = (
        "Evaluations on the clock of each worker; gaps are time in which it waited, mostly for others "
        "to finish a generation. "
        f"While the run was at work, workers waited {percent(idle)} of their time."
    )
    pause = clock.span_seconds - clock.busy_seconds
    if pause > 0.05 * clock.span_seconds:
        words += (
            f" For {duration(pause)} nothing was evaluated at all, as when a run is resumed later."
        )
    if clock.first_seconds is not None and clock.later_seconds is not None:
        words += (
            f" A worker's first evaluation took {duration(clock.first_seconds)}, since it traces the "
            f"network; all others {duration(clock.later_seconds)} (medians)."
        )
    if len(workers) < len(clock.workers):
        words += f" The first {len(workers)} of {len(clock.workers)} workers are drawn."
    return words


def _draw(clock: Timing, workers: Sequence[int], width: float) -> Html:
    row = 26.0 if len(workers) <= 6 else 14.0 if len(workers) <= 20 else 8.0
    size, unit = next(
        (pair for pair in reversed(_UNITS) if clock.span_seconds >= 2 * pair[0]), _UNITS[0]
    )
    frame = Frame(
        74, 8, width - 88, row * len(workers), (0.0, clock.span_seconds / size), (0.0, 1.0)
    )
    marks: list[object] = []
    for number, worker in enumerate(workers):
        top = frame.top + row * number
        if row > 10 or number % 4 == 0:
            marks.append(text(frame.left - 8, top + row / 2 + 4, f"worker {worker}", "tick", "end"))
        own = [interval for interval in clock.intervals if interval.worker == worker]
        marks += _bars(own, frame, top + row * 0.15, row * 0.7, size)
    ticks = nice_ticks(0.0, clock.span_seconds / size, 4 if width < 500 else 9)
    marks += x_axis(frame, ticks, f"Time since the first evaluation began ({unit})")
    label = f"Evaluations of {count(len(workers), 'worker')} over {duration(clock.span_seconds)}"
    return svg(width, frame.bottom + 42, marks, label=label)


def _bars(
    intervals: Sequence[Interval], frame: Frame, top: float, height: float, size: float
) -> list[object]:
    """Return the bars of one worker; neighbours that touch on the screen become one."""
    bars: list[tuple[str, float, float]] = []
    for interval in intervals:
        class_ = "g-failed" if interval.is_failed else f"g-{_known(interval.phase)}"
        start, stop = frame.x(interval.start / size), frame.x(interval.stop / size)
        if bars and bars[-1][0] == class_ and start - bars[-1][2] < 0.35:
            start = bars.pop()[1]
        bars.append((class_, start, stop))
    return [
        rectangle(start, top, max(0.6, stop - start - 0.3), height, class_)
        for class_, start, stop in bars
    ]


def _known(phase: str) -> str:
    return phase if phase in _PHASES else "search"


def time_table(clock: Timing) -> Html:
    """Return the phases of an evaluation with their shares."""
    total = sum(clock.by_phase.values()) or 1.0
    rows = []
    for phase, seconds in clock.by_phase.items():
        share = seconds / total
        work = " work" if phase in ("bn", "epoch", "score") else ""
        bar = element("span", class_=f"bar{work}", style=f"width:{short(share * 100)}%")
        rows.append([_WORDS.get(phase, phase), duration(seconds), percent(share, 1), bar])
    words = "Time of all evaluations together, by what it was spent on."
    if clock.overhead_share is not None:
        words += (
            f" Training, BatchNorm and scoring are the work; everything else is overhead: "
            f"{percent(clock.overhead_share, 1)} of an evaluation after a worker's first one"
        )
        if clock.overhead_share_with_first is not None:
            words += f", {percent(clock.overhead_share_with_first, 1)} with the first ones"
        words += "."
    return table(
        ["What", "Time", "Share", "In proportion"],
        rows,
        numeric=(1, 2),
        caption=words,
        wide_column=3,
    )


def phase_table(run: RunView) -> Html | None:
    """Return the wall time of the run's phases, from its result."""
    seconds = run.result.get("seconds")
    if not isinstance(seconds, dict):
        return None
    rows = [
        [
            title,
            duration(seconds[phase]),
            f"{sum(len(run.by_phase.get(name, ())) for name in names) or NOTHING}",
        ]
        for phase, (title, names) in _RUN_PHASES.items()
        if isinstance(seconds.get(phase), int | float)
    ]
    caption = (
        "Wall time of the run's phases in the process that finished it; what an earlier process did "
        "before a resume is not in it."
    )
    return table(["Phase", "Wall time", "Evaluations"], rows, numeric=(1, 2), caption=caption)


def time_words(run: RunView, clock: Timing, search: SearchView) -> Html:
    """Return throughput, repeats and memory in words."""
    words = []
    if clock.evaluations_per_hour is not None:
        words.append(
            f"{clock.evaluations_per_hour:,.0f} evaluations per hour on "
            f"{count(len(clock.workers), 'worker')}, over {duration(clock.busy_seconds)} of work."
        )
    if not run.trains_on:
        words.append(
            f"The search evaluated {count(search.genomes, 'different genome')}; "
            f"{count(search.reruns, 'evaluation')} re-ran known ones on purpose, under the seed of a "
            "later generation. "
        )
    if search.repeats:
        words.append(
            f"{count(search.repeats, 'evaluation')} repeated a recipe under the same seed."
        )
    retried = sum(evaluation.attempts > 1 for evaluation in run.evaluations)
    if retried:
        words.append(f"{count(retried, 'evaluation')} needed another worker after one died.")
    if clock.peak_memory_mb:
        words.append(f"The largest worker held {clock.peak_memory_mb:,.0f} MB.")
    return element("p", " ".join(words))
