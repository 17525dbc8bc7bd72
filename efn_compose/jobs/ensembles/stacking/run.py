"""Hands batches of second-level models to workers; each answer is a file and a line of the journal."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.assess.prediction_store.blocks import probability_of
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executor import Executor, make_executor
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.evolve.workers.task import Outcome
from efn_compose.jobs.ensembles.stacking.batch import StackAnswer, StackBatch, StackSetup
from efn_compose.jobs.ensembles.stacking.inputs import StackData
from efn_compose.jobs.ensembles.stacking.portfolio import StackModel
from efn_compose.store.arrays import WholeFiles, read_sealed, write_sealed
from efn_compose.store.journal import Journal

STACK_FOLDER = "stack"
#: Models of a task at most; at least so many tasks per worker, so that none waits long at the end.
_MOST, _TASKS_EACH = 50, 4
#: Runs of the job in which a model may take its worker along; then it counts as one that failed.
_RUNS = 2


@dataclass(frozen=True, eq=False)
class StackColumns:
    """What the second-level models say.

    Args:
        models: Those that did not fail, in the order of the portfolio.
        probability: (model, row, class) float32, out of fold.
        test: (model, image, class) float32.
        failed: Number of models that failed.
        missing: Number of models that are still to be fitted: time or memory ran out, or their worker
            died.
    """

    models: tuple[StackModel, ...]
    probability: np.ndarray
    test: np.ndarray
    failed: int
    missing: int

    @classmethod
    def none(cls, rows: np.ndarray, images: np.ndarray, missing: int) -> "StackColumns":
        """Return the answers of no model.

        Args:
            rows: (column, row, class).
            images: (column, image, class).
            missing: Number of models that are still to be fitted.
        """
        return cls((), rows[:0], images[:0], 0, missing)


def fit_portfolio(
    models: Sequence[StackModel],
    data: StackData,
    folder: Path,
    journal: Journal,
    options: ExecutorOptions,
    is_late: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda words: None,
) -> StackColumns:
    """Fit every model that has no answer yet, level by level, and return all answers.

    A level begins when all models before it have answered, so that it is the same after a kill. A
    model that fails has answered. One whose worker died, or had no memory left, has not: it is fitted
    when the job is resumed. The second time it counts as failed, so that the levels above can begin.

    Args:
        models: The portfolio.
        data: What they are fitted to.
        folder: The run folder.
        journal: Gets a line per model.
        options: Where they are fitted.
        is_late: No further batch begins once this is true.
        say: Told what a person should know.
    """
    data = data.nested() if any(model.level > 1 for model in models) else data
    rows, images, classes = len(data.label), len(data.test_logits), data.logits.shape[2]
    store = _Answers(folder, journal, (data.answers, classes))
    there: list[StackModel] = []
    stated = np.zeros((0, rows + images, classes), np.float32)
    failed = 0
    for level in sorted({model.level for model in models}):
        own = [model for model in models if model.level == level]
        waiting = [model for model in own if not store.is_known(model)]
        by_key = {model.key: model for model in waiting}
        for answer in _answers(waiting, data, options, is_late, say):
            store.keep(by_key[answer.key], answer, say)
        done = [model for model in own if store.is_done(model)]
        failed += sum(model.key in store.failed for model in own)
        there += done
        if done:
            found = np.stack([store.probability(model) for model in done])
            said = np.concatenate([data.rows_of(found), data.images_of(found)], axis=1)
            stated = np.concatenate([stated, said])
        if not all(store.is_known(model) for model in own):
            break
        if not done:
            # Nothing to stand on: what is above fails, too, and not for want of time.
            failed += sum(model.level > level for model in models)
            break
        data = data.above(found)
    return StackColumns(
        tuple(there), stated[:, :rows], stated[:, rows:], failed, len(models) - len(there) - failed
    )


class _Answers:
    """The models' answers on disk.

    Args:
        folder: The run folder.
        journal: Gets a line per model.
        shape: (answer, class).
    """

    def __init__(self, folder: Path, journal: Journal, shape: tuple[int, int]) -> None:
        self._place, self._journal, self.shape = folder / STACK_FOLDER, journal, shape
        self._place.mkdir(exist_ok=True)
        self._whole = WholeFiles()
        self.failed = {r["model"] for r in journal if r.get("phase") == "stack" and r.get("error")}
        self._lost = Counter(r["model"] for r in journal if r.get("phase") == "stack lost")

    def is_done(self, model: StackModel) -> bool:
        """Return whether the answer is there, and neither a failure nor damaged."""
        return model.key not in self.failed and self._whole.has(self._file(model), self.shape)

    def is_known(self, model: StackModel) -> bool:
        """Return whether the model need not be fitted any more."""
        return model.key in self.failed or self.is_done(model)

    def keep(self, model: StackModel, answer: StackAnswer, say: Callable[[str], None]) -> None:
        """Write an answer, then its line; a lost one gets a line that does not count."""
        record = {"phase": "stack", "model": model.key, **model.to_json(), "error": None}
        if answer.is_lost and self._lost[model.key] + 1 < _RUNS:
            record |= {"phase": "stack lost", "error": answer.error}
            say(f"{model.name} is not fitted ({answer.error}); --resume tries again")
        elif answer.logits is None:
            record["error"] = answer.error
            self.failed.add(model.key)
            again = ", as before: it is not tried again" if answer.is_lost else ""
            say(f"{model.name} failed: {answer.error}{again}")
        else:
            write_sealed(self._file(model), answer.logits)
            self._whole.add(self._file(model))
        self._journal.append(record | {"timing": {"seconds": round(answer.seconds, 4)}})

    def probability(self, model: StackModel) -> np.ndarray:
        """Return (answer, class) float32."""
        return probability_of(read_sealed(self._file(model)))

    def _file(self, model: StackModel) -> Path:
        return self._place / f"{model.key}.npy"


def _answers(
    models: Sequence[StackModel],
    data: StackData,
    options: ExecutorOptions,
    is_late: Callable[[], bool],
    say: Callable[[str], None],
) -> Iterator[StackAnswer]:
    if not models:
        return
    if EXECUTORS[options.chosen].is_in_process:
        options = dataclasses.replace(options, workers=1)
    executor = make_executor(StackSetup(), data, options, say, len(models))
    try:
        size = max(1, min(_MOST, len(models) // (_TASKS_EACH * executor.workers)))
        lost: list[StackModel] = []
        for batch, outcome in _outcomes(models, size, executor, is_late):
            if outcome.value is not None:
                yield from outcome.value
            elif len(batch) > 1:
                say(f"no answer of {len(batch)} models ({outcome.error}); each is fitted alone")
                lost += batch
            else:
                yield _lost(batch[0], outcome)
        # One model may have taken its worker along, and with it all the others of its batch.
        for (model,), outcome in _outcomes(lost, 1, executor, is_late):
            yield from outcome.value or [_lost(model, outcome)]
    finally:
        executor.close()


def _outcomes(
    models: Sequence[StackModel], size: int, executor: Executor, is_late: Callable[[], bool]
) -> Iterator[tuple[Sequence[StackModel], Outcome]]:
    """Yield batches of so many models with their outcomes, in the order they finish."""
    batches = [tuple(models[start : start + size]) for start in range(0, len(models), size)]

    def tasks() -> Iterator[StackBatch]:
        for batch in batches:
            if is_late():
                return
            yield StackBatch(batch)

    for position, outcome in executor.run(tasks()):
        yield batches[position], outcome


def _lost(model: StackModel, outcome: Outcome) -> StackAnswer:
    return StackAnswer(model.key, None, outcome.error or "no answer", outcome.seconds, is_lost=True)
