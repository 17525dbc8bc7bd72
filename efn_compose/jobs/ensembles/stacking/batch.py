"""A batch of second-level models as one task: each alone takes less time than its way to a worker."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.assess.prediction_store.blocks import logits_of
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.task import Task
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.ensembles.stacking.inputs import Scaler, StackData
from efn_compose.jobs.ensembles.stacking.kinds import KINDS
from efn_compose.jobs.ensembles.stacking.portfolio import StackModel

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class StackWorker(Worker):
    """Owns the data of all second-level models.

    Args:
        data: The data.
    """

    def __init__(self, data: StackData) -> None:
        super().__init__()
        self.data = data


@dataclass(frozen=True)
class StackSetup:
    """Makes the workers; they need the data alone."""

    def make_worker(self, data: StackData, device: Device) -> StackWorker:
        """Return a worker; models run on processors, whatever the device."""
        return StackWorker(data)


@dataclass(frozen=True, eq=False)
class StackAnswer:
    """What became of one model.

    Args:
        key: Of the model.
        logits: (answer, class) float16: rows out of fold, test images by a model that was fitted to all
            rows, and for each of `StackData.without` all rows again. None where it failed.
        error: Why there are none.
        seconds: It took.
        is_lost: Whether the machine failed and not the model: the same model may be fitted another time.
    """

    key: str
    logits: np.ndarray | None
    error: str
    seconds: float
    is_lost: bool = False


@dataclass(frozen=True)
class StackBatch(Task):
    """Fits some models on each fold's other rows, and on all rows for the test images.

    Args:
        models: The models.
    """

    models: "Sequence[StackModel]"

    @property
    def pace(self) -> "Hashable":
        """How many models, of which kinds: trees take a hundred times as long as a ridge does."""
        return len(self.models), frozenset(model.kind for model in self.models)

    def run(self, worker: StackWorker) -> list[StackAnswer]:
        """Return an answer for each model; one that fails does not stop the others."""
        from threadpoolctl import threadpool_limits

        # One thread: results do not depend on the machine, and workers do not stand in each other's way.
        with threadpool_limits(1):
            return [_answer(model, worker.data) for model in self.models]


def _answer(model: StackModel, data: StackData) -> StackAnswer:
    begun = time.perf_counter()
    found, error, is_lost = None, "", False
    try:
        found = fit_and_ask(model, data)
    except Exception as problem:  # each library of models has errors of its own
        error = f"{type(problem).__name__}: {problem}"
        is_lost = isinstance(problem, MemoryError)
    return StackAnswer(model.key, found, error, time.perf_counter() - begun, is_lost)


def fit_and_ask(model: StackModel, data: StackData) -> np.ndarray:
    """Return a model's logits, float16 (answer, class).

    Args:
        model: The model.
        data: All rows and images.

    Raises:
        ValueError: It says something that is not finite.
    """
    parts = [_fit_and_ask(model, data)]
    for fold, one in zip(np.unique(data.fold), data.without, strict=False):
        found, inside = _fit_and_ask(model, one), data.fold != fold
        again = np.empty((len(inside), found.shape[1]))
        again[inside], again[~inside] = found[: inside.sum()], found[inside.sum() :]
        parts.append(again)
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        raise ValueError(f"{model.name} gives numbers that are not finite")
    return logits_of(found)


def _fit_and_ask(model: StackModel, data: StackData) -> np.ndarray:
    """Return logits (row and image, class) of rows out of fold, and of images by a fit to all rows."""
    rows, images = data.seen(model)
    kind = KINDS[model.kind]
    codes = [count + 1 for count in data.counts] if rows.codes.shape[1] else []
    parameters = {**dict(model.parameters), "codes": codes}
    found = np.zeros((len(rows) + len(images), data.logits.shape[2]))
    for fold in (*np.unique(data.fold), None):
        inside = np.ones(len(rows), bool) if fold is None else data.fold != fold
        scaler = Scaler(rows[inside], model.inputs)
        predict = kind.fit(scaler(rows[inside]), data.label[inside], parameters, model.seed)
        if fold is None:
            found[len(rows) :] = predict(scaler(images)) if len(images) else 0
        else:
            found[: len(rows)][~inside] = predict(scaler(rows[~inside]))
    return found
