"""How long a study will take, from a few of its trainings measured on this machine."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.arch.cost import cost
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.pace import Pace, cost_line
from efn_compose.jobs.study.cells import FREE_IMAGES
from efn_compose.jobs.study.plans import Plan
from efn_compose.jobs.study.preparation import PreparedStudy

if TYPE_CHECKING:
    from efn_compose.train.recipe.history import History

#: Networks that are measured, by their place among all costs; for how many epochs, of how many
#: images at most.
_QUANTILES = (0.0, 0.5, 1.0)
_EPOCHS, _IMAGES = 3, 128


@dataclass(frozen=True)
class StudyPace(Pace):
    """Seconds of one network at one size, with what a study adds.

    Args:
        start: Of bringing the donor to the network.
        between: Per epoch, of keeping its weights and its state file.
        once: Per training, of beginning and ending it.
    """

    start: float = 0.0
    between: float = 0.0
    once: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """The time of a study.

    Args:
        hours: Of the whole study with its workers.
        core_hours: Of all trainings, one after another.
        per_image: (point,) seconds of training per image and epoch.
        measured: Networks and sizes that were measured, in words.
    """

    hours: float
    core_hours: float
    per_image: np.ndarray
    measured: Sequence[str]


def estimate_hours(prepared: PreparedStudy) -> Estimate:
    """Measure a few networks of a study for an epoch each, and say how long all will take.

    The cheapest, the dearest and the middle network are trained on up to 128 images. Times of
    the others lie on the least-squares line through time against layers and multiply-adds. Counted
    are the trainings, what each epoch leaves on disk, a start per combination and fold, a trace
    wherever the next combination has another network or recipe, and scores without training.

    Args:
        prepared: The study.
    """
    able = [n for n, plan in enumerate(prepared.plans) if not plan.problem]
    counted = [n for n in able if prepared.plans[n].spec]
    counted.sort(key=lambda n: _multiply_adds(prepared.plans[n]))
    chosen = {counted[round(q * (len(counted) - 1))] for q in _QUANTILES} if counted else set()
    # What a function returns has no cost in the tables: each is measured.
    foreign = {
        (p.function, p.side): n for n, p in enumerate(prepared.plans) if n in able and p.function
    }
    times = {n: _measure(prepared, n) for n in sorted(chosen | set(foreign.values()))}
    found = {
        field: cost_line(
            [
                (prepared.plans[n].architecture, prepared.plans[n].side, getattr(times[n], field))
                for n in sorted(chosen)
            ]
        )
        for field in ("train", "forward", "set_up", "start", "between", "once")
    }

    def time_of(plan: Plan, field: str) -> float:
        if plan.function:
            return float(getattr(times[foreign[plan.function, plan.side]], field))
        return found[field](plan.architecture, plan.side)

    seconds, traced = 0.0, None
    per_image = np.full(len(prepared.plans), np.nan)
    workers = prepared.config.executor.expected_workers
    blocks = len(prepared.blocks)
    # Trainings of one combination are shared out: each worker brings it there and traces it.
    hands, folds = min(workers, blocks), len({fold for fold, _ in prepared.blocks})
    for number in able:
        plan = prepared.plans[number]
        per_image[number] = time_of(plan, "train")
        train, validation = _image_counts(prepared, plan)
        forward = min(train, plan.train.statistics_images) + validation
        epoch = train * per_image[number] + forward * time_of(plan, "forward")
        seconds += blocks * plan.train.all_epochs * (epoch + time_of(plan, "between"))
        seconds += blocks * time_of(plan, "once")
        seconds += time_of(plan, "start") * max(folds, hands)
        key = (plan.network, plan.train)
        if key != traced:
            traced = key
            seconds += time_of(plan, "set_up") * hands
    for task in prepared.free:
        plan = prepared.plans[task.point]
        train, validation = _image_counts(prepared, plan)
        forward = min(train, FREE_IMAGES) + validation
        seconds += forward * time_of(plan, "forward")
    return Estimate(
        hours=seconds / 3600 / workers,
        core_hours=seconds / 3600,
        per_image=per_image,
        measured=[f"{prepared.plans[n].network} {prepared.plans[n].side} px" for n in times],
    )


def _image_counts(prepared: PreparedStudy, plan: Plan) -> tuple[int, int]:
    """Return the images of a training, and of its validation."""
    data, _ = prepared.images[plan.source, plan.side].folded.part(0)
    return len(data.train_images), len(data.validation_images)


def _measure(prepared: PreparedStudy, number: int) -> StudyPace:
    """Train one point twice for a few short epochs; the second training is traced already."""
    from efn_compose.jobs.study.worker import StudySetup
    from efn_compose.train.examples import TrainingData
    from efn_compose.train.recipe import fit

    plan = prepared.plans[number]
    train = dataclasses.replace(
        plan.train, epochs=_EPOCHS, sizes=(), warm_up_epochs=0, find_rate=False
    )
    plan = dataclasses.replace(plan, train=train)
    images = {key: found.folded for key, found in prepared.images.items()}
    setup = StudySetup(prepared.donors, [plan], "", threads=_threads(prepared))
    worker = setup.make_worker(images, Device("cpu"))
    whole, _ = images[plan.source, plan.side].part(0)
    data = TrainingData(
        whole.class_names,
        whole.train_images[:_IMAGES],
        whole.train_labels[:_IMAGES],
        whole.validation_images[:_IMAGES],
        whole.validation_labels[:_IMAGES],
    )
    begun = time.perf_counter()
    donor = worker.start(plan, 0, 1)
    started = time.perf_counter()
    trainer = worker.trainer(plan, donor, data.classes)
    clock, walls = _Clock(), []
    with TemporaryDirectory() as folder:
        for turn in ("traced", "again"):
            timed, state = time.perf_counter(), Path(folder) / f"{turn}.npz"
            fit(
                donor,
                data,
                augment=plan.augment,
                watcher=clock,
                state_file=state,
                trainer=trainer,
            )
            walls.append(time.perf_counter() - timed)
    # The first epoch of a training takes longer than the others: what it takes more comes once.
    epoch, parts = clock.later_epochs()
    statistics = min(len(data.train_images), train.statistics_images)
    return StudyPace(
        train=parts["train"] / len(data.train_images),
        forward=(parts["bn"] + parts["score"]) / (statistics + len(data.validation_images)),
        set_up=max(0.0, walls[0] - walls[1]),
        start=started - begun,
        between=max(0.0, epoch - sum(parts.values())),
        once=max(0.0, walls[1] - _EPOCHS * epoch),
    )


class _Clock:
    """Notes when the epochs of the last training end."""

    def on_update(self, done: int, planned: int, loss: float) -> None:
        """Do nothing."""

    def on_rates(self, curve: object) -> None:
        """Do nothing."""

    def on_epoch(self, history: "History") -> None:
        """Note the time; a first epoch begins anew."""
        if len(history.epochs) == 1:
            self._ends: list[float] = []
        self._ends.append(time.perf_counter())
        self._history = history

    def later_epochs(self) -> tuple[float, dict[str, float]]:
        """Return mean seconds of the epochs after the first, whole and by part."""
        later = [epoch.seconds for epoch in self._history.epochs[1:]]
        parts = {name: float(np.mean([part[name] for part in later])) for name in later[0]}
        return (self._ends[-1] - self._ends[0]) / len(later), parts


def _threads(prepared: PreparedStudy) -> int:
    """Return the threads that a worker will have; 0: those of this process, or a GPU's."""
    import tensorflow as tf

    options = prepared.config.executor
    has_gpu = options.on_gpu and bool(tf.config.list_physical_devices("GPU"))
    return 0 if has_gpu or EXECUTORS[options.chosen].is_in_process else 1


def _multiply_adds(plan: Plan) -> int:
    return cost(plan.architecture, plan.side).multiply_adds
