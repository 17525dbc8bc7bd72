"""How long the chapters of a story will take, from a step of its networks measured on this machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from efn_compose.arch.cost import cost
from efn_compose.jobs.pace import Pace, cost_line, measure_on_processor, measure_pace
from efn_compose.jobs.pipeline.work import Load, Work
from efn_compose.store.environment import usable_cores

#: Seconds until a chapter has read its files, and until Ray's workers are there.
_START, _WORKERS_START = 3.0, 12.0
#: A network that is only asked is built faster than one that is trained.
_BUILT_TO_ASK = 0.5
#: What all threads of a process gain over one: cores to this power, on small images.
_THREADS_GAIN = 0.5


@dataclass(frozen=True)
class Estimate:
    """The time of a story.

    Args:
        seconds: Of each chapter, by its name; empty where it could not be measured.
        words: What was measured, or why not.
    """

    seconds: Mapping[str, float]
    words: str


def estimate_time(
    work: Mapping[str, Work], note: Callable[[str], None] = lambda words: None
) -> Estimate:
    """Measure the cheapest and the dearest network of a story, and say how long its chapters will take.

    Args:
        work: Of each chapter, by its name.
        note: Told what is measured.
    """
    if any(one.device != "cpu" for one in work.values()):
        import tensorflow as tf

        if not (tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU")):
            return Estimate({}, "not known here: chapters run on a GPU or TPU, and there is none")
    loads = [load for one in work.values() for load in one.loads]
    if not loads:
        return Estimate(dict.fromkeys(work, _START), "nothing is trained")
    has_workers = any(load.workers for load in loads)
    measure_on_processor(1 if has_workers else 0)
    kinds = {(load.spec.variant, load.size): load for load in loads}
    by_cost = sorted(kinds.values(), key=lambda load: cost(load.spec, load.size).multiply_adds)
    chosen = [by_cost[0], by_cost[-1]] if len(by_cost) > 1 else by_cost
    paces = []
    for load in chosen:
        note(f"Measuring {load.spec.variant} at {load.size} px")
        paces.append(measure_pace(load.spec, load.size))
    seconds = _Seconds(chosen, paces, has_workers)
    measured = " and ".join(f"{load.spec.variant} at {load.size} px" for load in chosen)
    return Estimate(
        {name: seconds.of(one) for name, one in work.items()}, f"from {measured}, measured here"
    )


class _Seconds:
    """Seconds of loads and chapters."""

    def __init__(self, loads: Sequence[Load], paces: Sequence[Pace], one_thread: bool) -> None:
        self._line = {
            field: cost_line(
                [
                    (load.spec, load.size, getattr(pace, field))
                    for load, pace in zip(loads, paces, strict=True)
                ]
            )
            for field in ("train", "forward", "set_up")
        }
        self._gain = usable_cores() ** _THREADS_GAIN if one_thread else 1.0

    def of(self, work: Work) -> float:
        """Return the seconds of a chapter."""
        if work.hours:
            return 3600 * work.hours
        start = _WORKERS_START if any(load.workers for load in work.loads) else _START
        return start + sum(map(self._of_load, work.loads))

    def _of_load(self, load: Load) -> float:
        train, forward, set_up = (
            self._line[field](load.spec, load.size) for field in ("train", "forward", "set_up")
        )
        builds = load.builds * (set_up if load.updates else _BUILT_TO_ASK * set_up)
        seen = load.updates * train + load.passes * forward
        return builds + seen / (load.workers or self._gain)
