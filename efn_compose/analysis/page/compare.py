"""Several runs side by side: written weights, paired differences, progress, settings that differ."""

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from efn_compose.analysis.html.markup import Html, element, name
from efn_compose.analysis.html.palette import donor_class
from efn_compose.analysis.html.report_parts import section, table
from efn_compose.analysis.html.report_svg import (
    Frame,
    figure,
    integer_ticks,
    nice_ticks,
    polyline,
    spread,
    svg,
    text,
    x_axis,
    y_axis,
)
from efn_compose.analysis.page.report import page
from efn_compose.analysis.reading.figures import (
    NOTHING,
    count,
    difference_text,
    duration,
    mean_and_error,
)
from efn_compose.analysis.reading.journal_view import RunView, read_run
from efn_compose.analysis.reading.scoreboard import ArmView, Scoreboard, scoreboard
from efn_compose.analysis.reading.search_view import SearchView, search_view
from efn_compose.analysis.reading.timing import timing
from efn_compose.evolve.verdict.verdict import Difference, paired_difference
from efn_compose.store import write_text

COMPARISON_FILE = "comparison.html"


@dataclass(frozen=True)
class RunDifference:
    """Test loss of one run's written weights minus the test loss of another run's.

    Args:
        difference: Mean and standard error; None where it cannot be formed.
        is_paired: Whether the runs shared the seeds it was formed over.
        seeds: Number of common seeds where paired, else of the shorter side.
        reason: Why there is no difference; empty where there is one.
    """

    difference: Difference | None
    is_paired: bool = False
    seeds: int = 0
    reason: str = ""


@dataclass(frozen=True)
class _Seen:
    """A run with its scoreboard and its search, and a name that no other run on the page has."""

    name: str
    run: RunView
    board: Scoreboard
    search: SearchView

    @property
    def written(self) -> ArmView | None:
        """The arm whose weights were written; before the verdict, the best one."""
        return self.board.arm(self.board.winner) or next(iter(self.board.arms), None)


def write_comparison(
    run_paths: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str] | None = None
) -> Path:
    """Draw several runs side by side and write the page, atomically.

    Args:
        run_paths: At least one run folder; the others are compared with the first.
        output: The page to write; default `comparison.html` in the first run's folder.

    Raises:
        RunError: A folder is no run, or the page cannot be written.

    Example:
        >>> write_comparison(["runs/first", "runs/second"])  # doctest: +SKIP
        PosixPath('runs/first/comparison.html')
    """
    runs = [read_run(path) for path in run_paths]
    path = Path(output) if output is not None else Path(run_paths[0]) / COMPARISON_FILE
    write_text(path, render_comparison(runs))
    return path


def render_comparison(runs: Sequence[RunView], *, refresh_seconds: int = 0) -> str:
    """Return the page that shows runs side by side; the others are compared with the first."""
    names = names_apart([run.path for run in runs])
    seen = [
        _Seen(called, run, scoreboard(run), search_view(run))
        for called, run in zip(names, runs, strict=True)
    ]
    body = element(
        "div",
        element("header", element("h1", f"{len(runs)} runs")),
        element(
            "main",
            element("p", _headline(seen), class_="lead"),
            _warnings(seen),
            section("runs", "What each run wrote", _runs_table(seen)),
            section("arms", "Contestants", _arms_table(seen)),
            section("progress", "Progress", _progress(seen)),
            section("settings", "Settings that differ", _settings(seen)),
        ),
        class_="page",
    )
    return page(f"Comparison of {', '.join(names)}", body, refresh_seconds)


def names_apart(paths: Sequence[Path]) -> list[str]:
    """Return the names of folders, with as many folders above them as tell all apart.

    Example:
        >>> names_apart([Path("seed1/magic"), Path("seed2/magic")])
        ['seed1/magic', 'seed2/magic']
        >>> names_apart([Path("runs/first"), Path("runs/second")])
        ['first', 'second']
    """
    parts = [path.absolute().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [path.name for path in paths]


def run_difference(first: RunView, second: RunView) -> RunDifference:
    """Return the test loss of the weights that `second` wrote minus that of `first`.

    Paired over common seeds where the runs share at least two; otherwise the standard
    error is that of two independent means, which is larger. Runs with different data or
    another test split are not compared at all.
    """
    if not same_data(first, second):
        return RunDifference(None, reason="other data or another split")
    arms = [_Seen("", run, scoreboard(run), search_view(run)).written for run in (first, second)]
    return _arm_difference(*arms)


def same_data(first: RunView, second: RunView) -> bool:
    """Return whether two runs were judged on the same test images."""
    prints = [run.data.get("fingerprint") for run in (first, second)]
    splits = [_split_text(run) for run in (first, second)]
    return None not in prints and prints[0] == prints[1] and splits[0] == splits[1]


def _split_text(run: RunView) -> str | None:
    try:
        return (run.path / "split.json").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _arm_difference(first: ArmView | None, second: ArmView | None) -> RunDifference:
    if first is None or second is None or not first.test_loss or not second.test_loss:
        return RunDifference(None, reason="no test scores yet")
    ours = dict(zip(second.seeds, second.test_loss, strict=False))
    theirs = dict(zip(first.seeds, first.test_loss, strict=False))
    common = [seed for seed in ours if seed in theirs]
    if len(common) > 1:
        found = paired_difference([ours[s] for s in common], [theirs[s] for s in common])
        return RunDifference(found, True, len(common))
    shorter = min(len(first.test_loss), len(second.test_loss))
    if shorter < 2:
        return RunDifference(None, reason="too few seeds")
    error = math.sqrt(
        sum(statistics.variance(a.test_loss) / len(a.test_loss) for a in (first, second))
    )
    mean = statistics.fmean(second.test_loss) - statistics.fmean(first.test_loss)
    return RunDifference(Difference(mean, error), False, shorter)


def _headline(seen: Sequence[_Seen]) -> str:
    """Return which run wrote the better weights, if that is clear."""
    tested = [
        (statistics.fmean(one.written.test_loss), one)
        for one in seen
        if one.written is not None and one.written.test_loss
    ]
    scored = [one for _, one in sorted(tested, key=lambda pair: pair[0])]
    first = seen[0].run
    if len(scored) < 2 or not all(same_data(first, one.run) for one in seen[1:]):
        return f"{count(len(seen), 'run')} side by side."
    best, second = scored[0], scored[1]
    found = _arm_difference(second.written, best.written).difference
    if found is None or not found.is_clearly_better:
        return f"No clear difference between {best.name} and {second.name}."
    return f"{best.name} wrote the weights with the lowest test loss."


def _warnings(seen: Sequence[_Seen]) -> Html | None:
    first = seen[0]
    words = [
        f"{one.name} has other data or another split than {first.name}: its losses cannot be "
        "compared with the others."
        for one in seen[1:]
        if not same_data(first.run, one.run)
    ]
    words += [f"{one.name}: {problem}" for one in seen for problem in one.run.problems]
    if not words:
        return None
    return element("div", element("ul", [element("li", line) for line in words]), class_="box")


def _runs_table(seen: Sequence[_Seen]) -> Html:
    rows = []
    for number, one in enumerate(seen):
        found = run_difference(seen[0].run, one.run) if number else None
        arm = one.written
        within = one.board.difference(arm, "test") if arm is not None else None
        clock = timing(one.run.evaluations)
        rows.append(
            [
                [_number(number), " ", name(one.name)],
                one.run.status,
                name(arm.title if arm is not None else NOTHING),
                mean_and_error(arm.test_loss) if arm is not None else NOTHING,
                _difference_words(found) if found is not None else "first",
                difference_text(within),
                f"{len(one.run.evaluations):,}",
                duration(clock.busy_seconds),
            ]
        )
    head = ["Run", "Status", "Written", "Test loss", "vs run 1", "vs own best donor"]
    return table(
        [*head, "Evaluations", "Time at work"],
        rows,
        numeric=(3, 4, 5, 6, 7),
        caption=(
            "Mean ± standard error over seeds, losses in nats; negative differences are better. "
            "Differences between runs are paired over the seeds that both used; where they share "
            "none, the error is that of two independent means."
        ),
    )


def _difference_words(found: RunDifference) -> list[object]:
    if found.difference is None:
        return [found.reason]
    kind = f"paired, {found.seeds} seeds" if found.is_paired else "not paired"
    return [difference_text(found.difference), element("small", kind, class_="under")]


def _arms_table(seen: Sequence[_Seen]) -> Html:
    names = list(dict.fromkeys(arm.name for one in seen for arm in one.board.arms))
    if not names:
        return element("p", "No run has reached its finals.", class_="quiet")
    titles = {arm.name: arm.title for one in seen for arm in one.board.arms}
    rows = []
    for arm_name in names:
        cells = []
        for one in seen:
            arm = one.board.arm(arm_name)
            mark = " (written)" if one.board.winner == arm_name else ""
            cells.append(mean_and_error(arm.test_loss) + mark if arm is not None else NOTHING)
        rows.append([name(titles[arm_name]), *cells])
    head = ["Contestant", *(f"{n + 1} {one.name}" for n, one in enumerate(seen))]
    return table(
        head, rows, numeric=range(1, len(head)), caption="Test loss of every contestant, by run"
    )


def _progress(seen: Sequence[_Seen]) -> Html:
    lines = {n: one.search.incumbents for n, one in enumerate(seen) if one.search.incumbents}
    if not lines:
        return element("p", "No run has finished a generation.", class_="quiet")
    values = [found.loss for incumbents in lines.values() for found in incumbents]
    last = max(incumbents[-1].index for incumbents in lines.values())
    pad = (max(values) - min(values) or 0.1) * 0.08

    def draw(width: float) -> Html:
        frame = Frame(
            48, 30, width - 80, 250, (0, max(1, last)), (min(values) - pad, max(values) + pad)
        )
        marks: list[object] = list(
            y_axis(frame, nice_ticks(*frame.y_range, 5), "Loss of the genome believed best (nats)")
        )
        ends = []
        for number, incumbents in lines.items():
            points: list[tuple[float, float]] = []
            for found in incumbents:
                x, y = frame.x(found.index), frame.y(found.loss)
                points += [(x, points[-1][1])] if points else []
                points.append((x, y))
            marks.append(polyline(points, f"best s{number % 8}"))
            ends.append(points[-1])
        places = spread([y for _, y in ends], 13, frame.top, frame.bottom)
        for (number, _), (x, _), place in zip(lines.items(), ends, places, strict=True):
            marks.append(text(x + 6, place + 4, str(number + 1), "strong"))
        marks += x_axis(frame, integer_ticks(0, last, 4 if width < 500 else 9), "Evaluation")
        return svg(width, frame.bottom + 42, marks, label="Progress of each run")

    legend = element(
        "ul",
        [element("li", _number(n), " ", name(seen[n].name)) for n in lines],
        class_="legend",
    )
    caption = (
        "The believed loss of the genome believed best after each generation: its mean over its runs, "
        "the luck of each generation's seed removed, moved towards the middle of all candidates. Runs "
        "with different seeds begin with different luck."
    )
    without = [one.name for n, one in enumerate(seen) if n not in lines]
    if without:
        caption += (
            f" Without a line: {', '.join(without)}. Searches that train on have none, and those that "
            "have finished no generation."
        )
    return figure(draw, caption, legend)


def _number(run: int) -> Html:
    """Return a run's number on its colour."""
    return element("span", str(run + 1), class_=f"chip {donor_class(run)}")


def _settings(seen: Sequence[_Seen]) -> Html:
    flat = [
        {
            f"{title}.{key}": value
            for title, values in one.run.config.items()
            if isinstance(values, dict)
            for key, value in values.items()
        }
        for one in seen
    ]
    keys = sorted({key for settings in flat for key in settings} - {"run.path"})
    rows = [
        [key, *(str(settings.get(key, NOTHING)) for settings in flat)]
        for key in keys
        if len({repr(settings.get(key)) for settings in flat}) > 1
    ]
    if not rows:
        return element("p", "The configurations are equal but for the run folder.", class_="quiet")
    return table(["Setting", *(one.name for one in seen)], rows)
