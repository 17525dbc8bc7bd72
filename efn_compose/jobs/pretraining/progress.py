"""Progress of running pretrainings: as of trainings, with the alarms of every epoch."""

from typing import TYPE_CHECKING

from rich.console import Console

from efn_compose.analysis.page.pretraining_monitors import monitor_line
from efn_compose.jobs.pretraining.cells import PretrainCell, PretrainResult
from efn_compose.jobs.pretraining.judge import JudgeTask
from efn_compose.jobs.pretraining.verdict import SCORES
from efn_compose.jobs.trainings.watching.progress import TrainingProgress
from efn_compose.train.recipe.history import History
from efn_compose.train.selfsup.monitors import alarms

if TYPE_CHECKING:
    from efn_compose.jobs.pretraining.preparation import PreparedPretraining


class PretrainProgress(TrainingProgress):
    """Progress over all pretrainings of a run; use in a `with` block.

    Args:
        pretrainings: How many are to be made.
        prepared: The run.
        console: Where to draw; a terminal gets a bar, anything else lines.
    """

    def __init__(
        self, pretrainings: int, prepared: "PreparedPretraining", console: Console
    ) -> None:
        super().__init__(pretrainings, console)
        batch = prepared.config.pretrain.batch_size
        self._per_epoch = {
            cell.name: prepared.images.count_of(cell.method) // batch for cell in prepared.cells
        }
        self._said: set[str] = set()

    def __enter__(self) -> "PretrainProgress":
        super().__enter__()
        return self

    def on_epoch(self, history: History) -> None:
        """An epoch is over: say its monitors and its alarms."""
        record = history.epochs[-1]
        monitors = monitor_line(record.validation)
        seconds = sum(record.seconds.values())
        self.note(
            f"  {self._name}  epoch {record.epoch:>3}  loss {record.train_loss:.4f}  {monitors}  "
            f"{seconds:.1f} s, {self._left()}"
        )
        found = alarms([epoch.validation for epoch in history.epochs], self._per_epoch[self._name])
        for alarm in found:
            self._say(f"  alarm: {self._name}, epoch {record.epoch}: {alarm}")

    def ended(self, cell: PretrainCell, result: PretrainResult | None, error: str | None) -> None:
        """A pretraining is over; alarms that nobody saw while it ran are said now."""
        if result is None:
            self.finish(f"{cell.name} failed: {error}")
            return
        for epoch in result.epochs:
            for alarm in epoch["alarms"]:
                self._say(f"  alarm: {cell.name}, epoch {epoch['epoch']}: {alarm}")
        self.finish(f"{cell.name}  loss {result.epochs[-1]['loss']:.4f}")

    def judged(self, task: JudgeTask, scores: dict[str, float] | None, error: str | None) -> None:
        """A judgement is over."""
        words = ", ".join(
            f"{SCORES[name][0]} {value:.4f}" for name, value in (scores or {}).items()
        )
        self.note(f"  {task.name}  {words or f'failed: {error}'}")

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.note(text)
