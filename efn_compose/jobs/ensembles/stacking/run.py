"""Hands batches of second-level models to workers; each answer is a file and a line of the journal."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.assess.prediction_store.blocks import probability_of
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executor import make_executor
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.ensembles.stacking.batch import StackAnswer, StackBatch, StackSetup
from efn_compose.jobs.ensembles.stacking.inputs import StackData
from efn_compose.jobs.ensembles.stacking.portfolio import StackModel
from efn_compose.store.atomic import atomic_path
from efn_compose.store.journal import Journal

STACK_FOLDER = "stack"
#: Models of a task at most; at least so many tasks per worker, so that none waits long at the end.
_MOST, _TASKS_EACH = 50, 4


@dataclass(frozen=True, eq=False)
class StackColumns:
    """What the second-level models say.

    Args:
        models: Those that did not fail, in the order of the portfolio.
        probability: (model, row, class) float32, out of fold.
        test: (model, image, class) float32.
        failed: Number of models that failed.
        missing: Number of models that were not fitted, for want of time.
    """

    models: tuple[StackModel, ...]
    probability: np.ndarray
    test: np.ndarray
    failed: int
    missing: int


def fit_portfolio(
    models: Sequence[StackModel],
    data: StackData,
    folder: Path,
    journal: Journal,
    options: ExecutorOptions,
    is_late: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda words: None,
) -> StackColumns:
    """Fit every model that has no answer yet, and return all answers.

    Args:
        models: The portfolio.
        data: What they are fitted to.
        folder: The run folder.
        journal: Gets a line per model.
        options: Where they are fitted.
        is_late: No further batch begins once this is true.
        say: Told what a person should know.
    """
    place = folder / STACK_FOLDER
    place.mkdir(exist_ok=True)
    failed = {r["model"] for r in journal if r.get("phase") == "stack" and r.get("error")}
    shape = (len(data.label) + len(data.test_logits), data.logits.shape[2])

    def file(model: StackModel) -> Path:
        return place / f"{model.key}.npy"

    def is_done(model: StackModel) -> bool:
        try:
            return model.key in failed or np.load(file(model), mmap_mode="r").shape == shape
        except (OSError, ValueError):
            return False

    by_key = {model.key: model for model in models}
    waiting = [model for model in models if not is_done(model)]
    for answer in _answers(waiting, data, options, is_late, say):
        model = by_key[answer.key]
        record = {"phase": "stack", "model": model.key, **model.to_json(), "error": None}
        if answer.logits is None:
            record["error"] = answer.error
            failed.add(model.key)
            say(f"{model.name} failed: {answer.error}")
        else:
            with atomic_path(file(model)) as temporary, open(temporary, "wb") as target:
                np.save(target, answer.logits)
        journal.append(record | {"timing": {"seconds": round(answer.seconds, 4)}})
    there = [m for m in models if m.key not in failed and is_done(m)]
    found = [probability_of(np.load(file(model), allow_pickle=False)) for model in there]
    stated = np.stack(found) if found else np.zeros((0, *shape), np.float32)
    rows = len(data.label)
    count = sum(model.key in failed for model in models)
    return StackColumns(
        tuple(there), stated[:, :rows], stated[:, rows:], count, len(models) - len(there) - count
    )


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
    executor = make_executor(StackSetup(), data, options, say)
    size = max(1, min(_MOST, len(models) // (_TASKS_EACH * executor.workers)))

    def batches() -> Iterator[StackBatch]:
        for start in range(0, len(models), size):
            if is_late():
                return
            yield StackBatch(tuple(models[start : start + size]))

    try:
        for position, outcome in executor.run(batches()):
            if outcome.value is not None:
                yield from outcome.value
                continue
            for model in models[position * size : (position + 1) * size]:
                yield StackAnswer(model.key, None, outcome.error or "no answer", outcome.seconds)
    finally:
        executor.close()
