"""Progress of running trainings: a bar on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from efn_compose.jobs.relay.deadline import Deadline
    from efn_compose.train.recipe.history import History
    from efn_compose.train.recipe.rate_finder import RateCurve


class TrainingProgress:
    """Progress over all trainings of a run; use in a `with` block.

    Args:
        trainings: How many are to be made.
        console: Where to draw; a terminal gets a bar, anything else lines.
        deadline: Told of every epoch.
    """

    def __init__(
        self, trainings: int, console: Console, deadline: "Deadline | None" = None
    ) -> None:
        self._console, self._trainings, self._deadline = console, trainings, deadline
        self._finished, self._within, self._name = 0, 0.0, ""
        self._begun = time.monotonic()
        #: Share of the work that was done when the clock was started.
        self._first: tuple[float, float] | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("Starting", total=max(trainings, 1), status="")

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, name: str) -> "TrainingProgress":
        """A training begins in this process, which this object then watches."""
        self._name, self._within = name, 0.0
        self._bar.update(self._task, description=name)
        return self

    def on_update(self, done: int, planned: int, loss: float) -> None:
        """An update was made."""
        self._within = done / planned
        if self._first is None:
            # Building and tracing do not foretell the time of later epochs.
            self._first = (time.monotonic(), self._share())
        status = f"loss {loss:.3f}, {self._left()}"
        self._bar.update(self._task, completed=self._finished + self._within, status=status)

    def on_epoch(self, history: "History") -> None:
        """An epoch is over."""
        record = history.epochs[-1]
        scores = "  ".join(f"{name} {value:.4f}" for name, value in record.validation.items())
        best = "  best so far" if history.best_epoch == record.epoch else ""
        phase = "  (gamma and beta alone)" if record.phase == "warm_up" else ""
        seconds = sum(record.seconds.values())
        self.note(
            f"  {self._name}  epoch {record.epoch:>3}  training loss {record.train_loss:.4f}  "
            f"validation {scores or 'none'}  {seconds:.1f} s, {self._left()}{phase}{best}"
        )
        if self._deadline is not None:
            self._deadline.after_epoch(seconds)

    def on_rates(self, curve: "RateCurve") -> None:
        """A range test is over."""
        found = "the loss never fell" if curve.rate is None else f"take {curve.rate:.2g}"
        self.note(f"  {self._name}  range test over {len(curve.rates)} rates: {found}")

    def finish(self, line: str) -> None:
        """A training is over."""
        self._finished += 1
        self._within = 0.0
        if self._first is None:
            self._first = (self._begun, 0.0)
        self._bar.update(self._task, completed=self._finished, status=self._left())
        self.note(f"{self._finished}/{self._trainings}  {line}, {self._left()}")

    def note(self, text: str) -> None:
        """Say something."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _share(self) -> float:
        return (self._finished + self._within) / max(self._trainings, 1)

    def _left(self) -> str:
        if self._first is None or self._share() <= self._first[1]:
            return "time left not known yet"
        since, done = self._first
        rate = (self._share() - done) / max(time.monotonic() - since, 1e-9)
        seconds = round((1 - self._share()) / rate)
        hours, minutes = divmod(seconds // 60, 60)
        clock = (
            f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"
        )
        return f"about {clock} left"
