"""How long a study will take, from a few of its trainings measured on this machine."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.arch.cost import cost
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.pace import Pace, cost_line
from efn_compose.jobs.study.plans import Plan
from efn_compose.jobs.study.preparation import PreparedStudy

#: Networks that are measured, by their place among all costs; images of a measured epoch at most.
_QUANTILES = (0.0, 0.5, 1.0)
_IMAGES = 128


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
    the others lie on the least-squares line through time against layers and multiply-adds.

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
        for field in ("train", "forward", "set_up")
    }

    def time_of(plan: Plan, field: str) -> float:
        if plan.function:
            return float(getattr(times[foreign[plan.function, plan.side]], field))
        return found[field](plan.architecture, plan.side)

    seconds, traced = 0.0, set()
    per_image = np.full(len(prepared.plans), np.nan)
    workers = prepared.config.executor.expected_workers
    for number in able:
        plan = prepared.plans[number]
        per_image[number] = time_of(plan, "train")
        data, _ = prepared.images[plan.source, plan.side].folded.part(0)
        train, validation = len(data.train_images), len(data.validation_images)
        forward = min(train, plan.train.recalibrate_images) + validation
        epoch = train * per_image[number] + forward * time_of(plan, "forward")
        seconds += len(prepared.blocks) * plan.train.all_epochs * epoch
        key = (plan.network, plan.train)
        if key not in traced:
            traced.add(key)
            # Each worker traces the network.
            seconds += time_of(plan, "set_up") * min(workers, len(prepared.blocks))
    return Estimate(
        hours=seconds / 3600 / workers,
        core_hours=seconds / 3600,
        per_image=per_image,
        measured=[f"{prepared.plans[n].network} {prepared.plans[n].side} px" for n in times],
    )


def _measure(prepared: PreparedStudy, number: int) -> Pace:
    """Train one point for two short epochs; the second one counts."""
    from efn_compose.jobs.study.worker import StudySetup
    from efn_compose.train.examples import TrainingData
    from efn_compose.train.recipe import fit

    plan = prepared.plans[number]
    train = dataclasses.replace(plan.train, epochs=2, sizes=(), warm_up_epochs=0, find_rate=False)
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
    fitted = fit(
        donor, data, augment=plan.augment, trainer=worker.trainer(plan, donor, data.classes)
    )
    wall = time.perf_counter() - begun
    second = fitted.history.epochs[1].seconds
    statistics = min(len(data.train_images), train.recalibrate_images)
    return Pace(
        train=second["train"] / len(data.train_images),
        forward=(second["bn"] + second["score"]) / (statistics + len(data.validation_images)),
        set_up=wall - 2 * sum(second.values()),
    )


def _threads(prepared: PreparedStudy) -> int:
    """Return the threads that a worker will have; 0: those of this process, or a GPU's."""
    import tensorflow as tf

    options = prepared.config.executor
    has_gpu = options.on_gpu and bool(tf.config.list_physical_devices("GPU"))
    return 0 if has_gpu or EXECUTORS[options.chosen].is_in_process else 1


def _multiply_adds(plan: Plan) -> int:
    return cost(plan.architecture, plan.side).multiply_adds
