"""The pace of one network at one size: a short training, measured in a worker."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from efn_compose.data.draw import images_of_all_classes
from efn_compose.data.pixels import take
from efn_compose.evolve.workers.task import Task
from efn_compose.jobs.study.pacing.paces import StudyPace
from efn_compose.jobs.study.plans import Plan
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.train.examples import TrainingData
from efn_compose.train.options import TrainOptions

if TYPE_CHECKING:
    from efn_compose.jobs.study.worker import StudyWorker
    from efn_compose.train.recipe.history import History

#: Epochs after one that traces; passes without gradients; images, about.
_EPOCHS, _PASSES, _IMAGES = 9, 4, 128


class EpochClock:
    """A watcher that notes when updates and epochs of a training end.

    Args:
        clock: Seconds, such as `time.process_time`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = clock()
        self._updated = self._begun
        #: Seconds of updates, and of what follows them, by epoch.
        self.updates: list[float] = []
        self.rests: list[float] = []

    def on_update(self, done: int, planned: int, loss: float) -> None:
        """Note the time."""
        self._updated = self._clock()

    def on_rates(self, curve: object) -> None:
        """Leave the range test out of the first epoch."""
        self._begun = self._clock()

    def on_epoch(self, history: "History") -> None:
        """Note the time of an epoch that is over and on the disk."""
        now = self._clock()
        self.updates.append(self._updated - self._begun)
        self.rests.append(now - self._updated)
        self._begun = self._updated = now

    def spent(self, epochs: int) -> float | None:
        """Return the seconds of a training's epochs, as if no network had been traced in the first.

        Args:
            epochs: Of the whole training; some may have been made before it was resumed.

        Returns:
            None where only the first epoch was seen.
        """
        whole = [one + rest for one, rest in zip(self.updates, self.rests, strict=True)][1:]
        return epochs * sum(whole) / len(whole) if whole else None


@dataclass(frozen=True)
class PaceProbe(Task):
    """A short training of a point.

    Args:
        point: Its number.
    """

    #: Networks of one study differ tenfold; nobody can say how long one may take.
    is_limited: ClassVar[bool] = False

    point: int

    def run(self, worker: "StudyWorker") -> StudyPace:
        """Train twice: once to trace the network, once to measure it.

        Raises:
            EfnComposeError: The point cannot be trained.
        """
        return measure(worker, worker.plan(self.point))


def measure(worker: "StudyWorker", plan: Plan) -> StudyPace:
    """Train a point for a few short epochs and return its pace.

    The quickest of eight epochs counts, in processor seconds: other work on the machine makes them
    longer at times, since it takes the caches, and never shorter.

    Args:
        worker: Owns images, donors and the traced network.
        plan: Of the point.

    Raises:
        EfnComposeError: The point cannot be trained.
    """
    from efn_compose.train.recipe import fit

    name, clock = device_clock()
    short = dataclasses.replace(plan.train, sizes=(), warm_up_epochs=0, find_rate=False)
    plan = dataclasses.replace(plan, train=dataclasses.replace(short, epochs=1))
    data = few_images(worker.data[plan.source, plan.side], plan.train)
    times = [clock()]
    donor = worker.start(plan, 0, 1)
    times.append(clock())
    watches, ends = [], []
    with TemporaryDirectory() as folder:
        for epochs in (1, _EPOCHS):
            trainer = worker.trainer(
                dataclasses.replace(plan, train=dataclasses.replace(short, epochs=epochs)),
                donor,
                data.classes,
            )
            watches.append(EpochClock(clock))
            fit(
                donor,
                data,
                augment=plan.augment,
                watcher=watches[-1],
                state_file=Path(folder) / f"{epochs}.npz",
                trainer=trainer,
            )
            ends.append(clock())
    watch = watches[1]
    updates, rest = min(watch.updates[1:]), min(watch.rests[1:])
    forward = _passes(trainer, data, plan.train.statistics_images, clock)
    # The first epoch of a training takes longer than the others: what it takes more comes once.
    later = sum(watch.updates[1:]) + sum(watch.rests[1:])
    once = max(0.0, ends[1] - ends[0] - later - updates - rest)
    statistics = min(len(data.train_images), plan.train.statistics_images)
    return StudyPace(
        train=updates / len(data.train_images),
        forward=forward / (statistics + len(data.validation_images)),
        set_up=max(0.0, ends[0] - times[1] - once - updates - rest),
        start=times[1] - times[0],
        between=max(0.0, rest - forward),
        once=once,
        clock=name,
    )


def device_clock() -> tuple[str, Callable[[], float]]:
    """Return the clock that counts what trainings of this process take, and its name.

    Processor seconds say nothing of an accelerator: there it is wall time, at whose end each step
    has brought its loss back.
    """
    import tensorflow as tf

    return clock_of([device.device_type for device in tf.config.list_logical_devices()])


def clock_of(devices: Sequence[str]) -> tuple[str, Callable[[], float]]:
    """Return the clock for the kinds of devices of a process, and its name.

    Args:
        devices: Such as "CPU" and "GPU".

    Example:
        >>> clock_of(["CPU"])[0], clock_of(["CPU", "GPU"])[0]
        ('processor', 'wall')
    """
    if set(devices) <= {"CPU"}:
        return "processor", time.process_time
    return "wall", time.perf_counter


def few_images(data: FoldedImages, options: TrainOptions) -> TrainingData:
    """Return so few images of the first fold's training that its updates are as large as ever.

    Classes take turns, for a folder has them one after another, and each has a validation image, so that
    all scores exist. No other images are read or copied.

    Args:
        data: All images.
        options: The recipe.
    """
    update = options.batch_size * options.accumulate
    count = update * max(1, round(_IMAGES / update))
    train, validation = np.flatnonzero(data.fold != 0), np.flatnonzero(data.fold == 0)
    judged = max(_IMAGES, len(np.unique(data.labels[validation])))
    parts = (train, count), (validation, judged)
    chosen = np.concatenate(
        [part[images_of_all_classes(data.labels[part], most, seed=0)] for part, most in parts]
    )
    images, labels, fold = take(data.images, chosen), data.labels[chosen], data.fold[chosen]
    return dataclasses.replace(data, images=images, labels=labels, fold=fold).part(0)[0]


def _passes(trainer: Any, data: TrainingData, statistics: int, clock: Callable[[], float]) -> float:
    """Return the seconds of an epoch's passes without gradients."""
    images, found = data.train_images[:statistics], []
    for _ in range(_PASSES):
        begun = clock()
        if len(images) > 1:
            trainer.recalibrate(images)
        trainer.predict(data.validation_images)
        found.append(clock() - begun)
    return min(found)
