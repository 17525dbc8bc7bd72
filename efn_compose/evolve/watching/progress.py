"""Progress of a running search: bars on a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from efn_compose.evolve.journal.budget import Budget
from efn_compose.evolve.journal.watcher import Standing
from efn_compose.evolve.watching.terminal_view import WorkerTally, view

_PHASE_TITLES = {
    "alignment": "Aligning donors",
    "absorption": "Absorbing the images' statistics",
    "siblings": "Making siblings",
    "noise": "Measuring the noise",
    "search": "Searching",
    "final": "Finals on fresh seeds",
    "test": "Testing, once",
}
#: Phases of an evaluation that are the work itself; all else is overhead.
_WORK = ("bn", "epoch", "score")
#: Least number of answers that the rate is taken from.
_RECENT = 40


class ConsoleWatcher:
    """Draws a run's progress; use in a `with` block.

    Args:
        planned: Evaluations of the whole run, at most; None where nobody can say.
        workers: Number of workers.
        console: Where to draw; a terminal gets a bar, anything else lines.
        budget: Knows the hours that are left, where they are limited.
    """

    def __init__(
        self, planned: int | None, workers: int, console: Console, budget: Budget | None = None
    ) -> None:
        #: Called after every generation, to draw the report for example.
        self.after_generation: Callable[[], None] = lambda: None
        #: Called with every journal record and whether it is replayed.
        self.after_evaluation: Callable[[dict[str, Any], bool], None] = lambda *_: None
        self._budget = budget
        self._console, self._planned = console, planned
        self._live = console.is_terminal
        self._names: list[str] = []
        self._done = self._fresh = self._failed = 0
        # Times of the latest answers: load and neighbours change over a night.
        self._times: deque[float] = deque(maxlen=max(_RECENT, 4 * workers))
        self._seconds: dict[str, float] = {}
        self._wall = 0.0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("Starting workers", total=planned, status="")
        self._best: list[float] = []
        self._donors: dict[str, float] = {}
        self._workers_done = WorkerTally()
        self._latest = ""
        self._screen = (
            Live(console=console, get_renderable=self._draw, refresh_per_second=4)
            if self._live and not console.quiet
            else None
        )

    def __enter__(self) -> "ConsoleWatcher":
        if self._screen is not None:
            self._screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._screen is not None:
            self._screen.stop()

    def _draw(self) -> Group:
        size = self._console.size
        below = view(
            self._best,
            self._donors,
            self._workers_done,
            self._latest,
            size.width,
            size.height,
        )
        return Group(self._bar.get_renderable(), below)

    def set_donors(self, names: list[str]) -> None:
        """Learn the names of all donors."""
        self._names = names

    def on_phase(self, phase: str, evaluations: int) -> None:
        """A phase begins."""
        title = _PHASE_TITLES.get(phase, phase)
        count = f" ({evaluations} evaluation{'s' * (evaluations > 1)})" if evaluations else ""
        self._bar.update(self._task, description=title)
        self._print(f"{title}{count}")

    def on_evaluation(self, record: dict[str, Any], is_replayed: bool) -> None:
        """Take one journal record."""
        self._done += 1
        self._failed += record["error"] is not None
        if not is_replayed:
            self._fresh += 1
            self._tally(record["timing"])
            self._workers_done.take(record["timing"])
            # Counted from the first answer: what came before is building and tracing.
            self._times.append(time.monotonic())
        self.after_evaluation(record, is_replayed)
        self._bar.update(self._task, completed=self._done, status=self._rate())
        self._latest = _describe(record)
        # A terminal shows the latest one in place; a log keeps them all.
        if record["error"] is not None or not (is_replayed or self._live):
            total = "" if self._planned is None else f"/{self._planned}"
            self._print(f"  {self._done:>4}{total}  {self._latest}")

    def on_note(self, text: str) -> None:
        """Something a person should know."""
        self._print(text)

    def _tally(self, timing: dict[str, Any]) -> None:
        for phase, seconds in timing["seconds"].items():
            self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds
        self._wall += timing["wall_seconds"]

    def print_time(self) -> None:
        """Say where the workers' time went."""
        if not self._wall:
            return
        shares = {phase: seconds / self._wall for phase, seconds in self._seconds.items()}
        rest = 1 - sum(shares.get(phase, 0.0) for phase in _WORK)
        parts = ", ".join(f"{phase} {shares.get(phase, 0.0):.0%}" for phase in _WORK)
        self._print(f"Workers' time: {parts}; everything else {rest:.1%}")

    def _print(self, text: str) -> None:
        # A log is cut by nobody; a terminal breaks between words.
        self._console.print(text, highlight=False, markup=False, soft_wrap=not self._live)

    def on_generation(self, generation: int, standing: Standing) -> None:
        """A generation was told to the search, which now stands as given."""
        self.after_generation()
        best, donor = standing.best, standing.best_donor
        if best is None:
            self._print(f"  generation {generation}: every evaluation failed so far")
            return
        self._best.append(best.loss)
        self._donors = {self._title(number): loss for number, loss in standing.donors.items()}
        words = f"best {best.loss:.4f} ({self._title(best.donor)}, {_times(best.runs)})  "
        if donor is None:
            words += "all donors failed  "
        else:
            words += (
                f"best donor {donor.loss:.4f} ({self._title(donor.donor)})  "
                f"gain {donor.loss - best.loss:+.4f}  "
            )
        self._print(
            f"  generation {generation:>2}  {words}mean {standing.mean:.4f}  "
            f"genomes {standing.genomes}  failed {self._failed}"
            + ("" if self._live else f"  {self._rate()}")
        )

    def _title(self, donor: int | None) -> str:
        if donor is None:
            return "composed"
        return self._names[donor] if donor < len(self._names) else f"donor {donor}"

    def _rate(self) -> str:
        """Return evaluations per hour and the time left."""
        if len(self._times) < 2:
            return "rate not known yet"
        rate = (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)
        words = f"{rate * 3600:,.0f} evaluations/h"
        limits = [] if self._planned is None else [max(0, self._planned - self._done) / rate]
        if self._budget is not None and self._budget.seconds_left is not None:
            limits.append(self._budget.seconds_left)
        return f"{words}, about {_clock(min(limits))} left" if limits else words


def _describe(record: dict[str, Any]) -> str:
    """Return one evaluation in a line: what, score, seconds by phase."""
    name = record["arm"] or "composed"
    if record["error"] is not None:
        return f"{name} failed: {record['error']}"
    part = record["scores"].get("validation") or next(iter(record["scores"].values()))
    metrics = "  ".join(f"{metric} {value:.3f}" for metric, value in part.items())
    seconds = dict(record["timing"]["seconds"])
    seconds["compose"] = seconds.get("compose", 0.0) + seconds.pop("assign", 0.0)
    phases = " ".join(f"{key} {value:.2f}" for key, value in seconds.items())
    return f"{name:<22} {metrics}  {phases} s"


def _times(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
