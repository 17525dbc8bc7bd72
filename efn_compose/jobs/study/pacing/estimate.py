"""How long a study will take, from a few of its trainings measured on this machine."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efn_compose.arch.cost import cost
from efn_compose.errors import ConfigError
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.executor import answer
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.pace import cost_line
from efn_compose.jobs.study.cells import FREE_IMAGES
from efn_compose.jobs.study.pacing.budget import epoch_seconds
from efn_compose.jobs.study.pacing.paces import Measured, StudyPace, rounded
from efn_compose.jobs.study.pacing.probe import PaceProbe
from efn_compose.jobs.study.preparation import PreparedStudy

#: Networks that are measured, by their place among all costs, where not all are.
_QUANTILES = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Estimate:
    """The time of a study.

    Args:
        hours: Of the whole study with its workers, by the clock on the wall.
        core_hours: Of all trainings, one after another, in processor time.
        per_image: (point,) seconds of training per image and epoch.
        epochs: By point, the epochs of a training; None where it cannot be trained.
        measured: Networks and sizes that were measured, in words.
    """

    hours: float
    core_hours: float
    per_image: np.ndarray
    epochs: Sequence[int | None]
    measured: Sequence[str]


def estimate_hours(prepared: PreparedStudy) -> Estimate:
    """Measure networks of a study for a few epochs each, and say how long all will take.

    The cheapest, the dearest and the middle network are trained on about 128 images. Times of
    the others lie on the least-squares line through time against layers and multiply-adds. Where
    all trainings take equal seconds, each network is measured, as the study itself will do it.
    Counted are the trainings, what each epoch leaves on disk, a start per combination and fold,
    building and tracing wherever the next combination has another network or recipe, scores
    without training, and measuring where it is a part of the study.

    Args:
        prepared: The study.

    Raises:
        ConfigError: A network that must be measured cannot be trained.
    """
    begun = time.perf_counter(), time.process_time()
    groups = prepared.groups
    chosen = _chosen(prepared)
    found = _measured(prepared, [groups[place].points[0] for place in chosen])
    wall, processor = time.perf_counter() - begun[0], time.process_time() - begun[1]
    measured: Measured = dict(zip(chosen, found, strict=True))
    seconds = 0.0
    if not prepared.has_epochs:
        kept = {n: p if isinstance(p, str) else rounded(p) for n, p in measured.items()}
        prepared, seconds = prepared.with_paces(kept), processor
    paces = {n: pace for n, pace in measured.items() if isinstance(pace, StudyPace)}
    if not paces or (len(paces) < len(measured) and prepared.config.study.equal != "seconds"):
        reasons = ", ".join(pace for pace in measured.values() if isinstance(pace, str))
        raise ConfigError(f"The study cannot be measured: {reasons}")
    times = _times(prepared, paces)
    seconds += _seconds(prepared, times)
    # Of an accelerator the seconds are those of the wall anyway.
    is_processor = all(pace.clock == "processor" for pace in paces.values())
    workers = min(prepared.config.executor.expected_workers, len(prepared.cells))
    per_image = np.full(len(prepared.plans), np.nan)
    for number, pace in times.items():
        per_image[number] = pace.train
    return Estimate(
        hours=seconds * (wall / processor if is_processor else 1.0) / 3600 / workers,
        core_hours=seconds / 3600,
        per_image=per_image,
        epochs=[None if plan.problem else plan.train.all_epochs for plan in prepared.plans],
        measured=[f"{groups[n].network} {groups[n].side} px" for n in measured],
    )


def _chosen(prepared: PreparedStudy) -> list[int]:
    """Return the places of the groups that are measured."""
    groups = prepared.groups
    firsts = [prepared.plans[group.points[0]] for group in groups]
    if not prepared.has_epochs:
        return list(range(len(groups)))
    counted = [place for place, plan in enumerate(firsts) if plan.spec]
    counted.sort(
        key=lambda place: cost(firsts[place].architecture, firsts[place].side).multiply_adds
    )
    chosen = {counted[round(q * (len(counted) - 1))] for q in _QUANTILES} if counted else set()
    # What a function returns has no cost in the tables: each is measured.
    return sorted(chosen.union(place for place, plan in enumerate(firsts) if plan.function))


def _measured(prepared: PreparedStudy, points: Sequence[int]) -> list[StudyPace | str]:
    """Return the paces of points, each measured as a worker of the study does it, or why not."""
    from efn_compose.jobs.study.worker import StudySetup

    images = {key: found.folded for key, found in prepared.images.items()}
    setup = StudySetup(prepared.donors, prepared.plans, "", threads=_threads(prepared))
    worker = setup.make_worker(images, Device("cpu"))
    outcomes = [answer(worker, PaceProbe(point), 0) for point in points]
    return [str(found.error) if found.value is None else found.value for found in outcomes]


def _threads(prepared: PreparedStudy) -> int:
    """Return the threads that a worker will have; 0: those of this process, or a GPU's."""
    import tensorflow as tf

    options = prepared.config.executor
    has_gpu = options.on_gpu and bool(tf.config.list_physical_devices("GPU"))
    return 0 if has_gpu or EXECUTORS[options.chosen].is_in_process else 1


def _times(prepared: PreparedStudy, paces: dict[int, StudyPace]) -> dict[int, StudyPace]:
    """Return the pace of every point that can be trained, measured or read off the line.

    A worker that goes from one point to the next builds what they share once, so the first one
    alone was measured with it: the others get it back.
    """
    plans, groups = prepared.plans, prepared.groups
    firsts = {place: plans[groups[place].points[0]] for place in paces}
    for field, key_of in (
        ("set_up", lambda plan: plan.traced),
        ("start", lambda plan: (plan.weights, plan.start, plan.network, plan.source, plan.side)),
    ):
        most: dict[object, float] = {}
        for place, pace in paces.items():
            key = key_of(firsts[place])
            most[key] = max(most.get(key, 0.0), getattr(pace, field))
        changes: dict[int, dict[str, Any]] = {
            place: {field: most[key_of(firsts[place])]} for place in paces
        }
        paces = {place: dataclasses.replace(paces[place], **changes[place]) for place in paces}
    names = ("train", "forward", "set_up", "start", "between", "once")
    lines = {
        name: cost_line(
            [
                (firsts[place].architecture, firsts[place].side, getattr(pace, name))
                for place, pace in paces.items()
                if firsts[place].spec
            ]
        )
        for name in names
    }
    found = {}
    for place, group in enumerate(groups):
        for point in group.points:
            plan = plans[point]
            if place in paces:
                found[point] = paces[place]
            elif plan.spec:
                values: dict[str, Any] = {
                    name: line(plan.spec, plan.side) for name, line in lines.items()
                }
                found[point] = StudyPace(**values)
    return found


def _seconds(prepared: PreparedStudy, times: dict[int, StudyPace]) -> float:
    """Return the seconds of all trainings and of all scores without training."""
    seconds, traced = 0.0, None
    blocks = len(prepared.blocks)
    # Trainings of one combination are shared out: each worker brings it there and traces it.
    hands = min(prepared.config.executor.expected_workers, blocks)
    folds = len({fold for fold, _ in prepared.blocks})
    for number, pace in sorted(times.items()):
        plan = prepared.plans[number]
        if plan.problem:
            continue
        epoch = epoch_seconds(pace, plan, *prepared.image_counts(plan.source, plan.side))
        seconds += blocks * (plan.train.all_epochs * epoch + pace.once)
        seconds += pace.start * max(folds, hands)
        if plan.traced != traced:
            traced = plan.traced
            seconds += pace.set_up * hands
    for task in prepared.free:
        plan = prepared.plans[task.point]
        train, validation = prepared.image_counts(plan.source, plan.side)
        seconds += (min(train, FREE_IMAGES) + validation) * times[task.point].forward
    return seconds
