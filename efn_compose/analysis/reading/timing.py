"""Time of a run by worker and by phase, and the share of overhead."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from efn_compose.analysis.reading.evaluation_view import EvaluationView

#: Phases of an evaluation that are its purpose; the rest is overhead.
WORK_PHASES = ("bn", "epoch", "score")
EVALUATION_PHASES = ("compose", "assign", *WORK_PHASES)


@dataclass(frozen=True)
class Interval:
    """One evaluation on a worker's clock, in seconds since the run's first evaluation began."""

    worker: int
    phase: str
    start: float
    stop: float
    is_failed: bool


@dataclass(frozen=True)
class Timing:
    """Time of a run.

    Args:
        intervals: One per evaluation with a known time, by worker and start.
        span_seconds: From the first start to the last end.
        busy_seconds: Time in which at least one worker was evaluating; pauses left out.
        worker_seconds: Wall time of all evaluations together.
        by_phase: Seconds by phase of an evaluation, "other" for what no phase covers.
        first_seconds: Median wall time of each worker's first evaluation, which traces the network.
        later_seconds: Median wall time of all others; None where there are none.
        overhead_share: Share of wall time outside bn, epoch and score, first ones left out.
        overhead_share_with_first: The same with each worker's first evaluation.
        peak_memory_mb: Largest resident memory of a worker.
        evaluations_per_hour: Over busy time; None for fewer than two evaluations.
    """

    intervals: tuple[Interval, ...]
    span_seconds: float
    busy_seconds: float
    worker_seconds: float
    by_phase: dict[str, float]
    first_seconds: float | None
    later_seconds: float | None
    overhead_share: float | None
    overhead_share_with_first: float | None
    peak_memory_mb: float
    evaluations_per_hour: float | None

    @property
    def workers(self) -> tuple[int, ...]:
        """Numbers of all workers."""
        return tuple(sorted({interval.worker for interval in self.intervals}))


def timing(evaluations: Sequence[EvaluationView]) -> Timing:
    """Return the time of evaluations by worker and by phase."""
    seen: set[int] = set()
    first: list[EvaluationView] = []
    later: list[EvaluationView] = []
    for evaluation in evaluations:
        (later if evaluation.worker in seen else first).append(evaluation)
        seen.add(evaluation.worker)
    by_phase = dict.fromkeys((*EVALUATION_PHASES, "other"), 0.0)
    for evaluation in evaluations:
        for phase, seconds in evaluation.seconds.items():
            by_phase[phase] = by_phase.get(phase, 0.0) + seconds
        rest = evaluation.wall_seconds - sum(evaluation.seconds.values())
        by_phase["other"] += max(0.0, rest)
    intervals = _intervals(evaluations)
    origin = min((interval.start for interval in intervals), default=0.0)
    intervals = [
        Interval(i.worker, i.phase, i.start - origin, i.stop - origin, i.is_failed)
        for i in intervals
    ]
    busy = _union_seconds((i.start, i.stop) for i in intervals)
    return Timing(
        intervals=tuple(sorted(intervals, key=lambda i: (i.worker, i.start))),
        span_seconds=max((i.stop for i in intervals), default=0.0),
        busy_seconds=busy,
        worker_seconds=sum(e.wall_seconds for e in evaluations),
        by_phase=by_phase,
        first_seconds=_median(first),
        later_seconds=_median(later),
        overhead_share=_overhead(later),
        overhead_share_with_first=_overhead(evaluations),
        peak_memory_mb=max((e.memory_mb for e in evaluations), default=0.0),
        evaluations_per_hour=len(intervals) / busy * 3600 if busy and len(intervals) > 1 else None,
    )


def _intervals(evaluations: Sequence[EvaluationView]) -> list[Interval]:
    """Return when each evaluation ran.

    The journal is written in the order of the tasks, so a line can be written later than its
    evaluation ended. A worker does one thing at a time: going backwards, each evaluation
    ended at the latest when the next one of the same worker began.
    """
    next_start: dict[int, float] = {}
    intervals = []
    for evaluation in reversed(evaluations):
        if evaluation.finished is None:
            continue
        stop = min(evaluation.finished, next_start.get(evaluation.worker, evaluation.finished))
        start = stop - evaluation.wall_seconds
        next_start[evaluation.worker] = start
        intervals.append(
            Interval(evaluation.worker, evaluation.phase, start, stop, evaluation.error is not None)
        )
    return intervals


def _union_seconds(spans: Iterable[tuple[float, float]]) -> float:
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def _overhead(evaluations: Sequence[EvaluationView]) -> float | None:
    timed = [e for e in evaluations if e.error is None and e.wall_seconds > 0]
    wall = sum(e.wall_seconds for e in timed)
    if not wall:
        return None
    work = sum(e.seconds.get(phase, 0.0) for e in timed for phase in WORK_PHASES)
    return max(0.0, 1 - work / wall)


def _median(evaluations: Sequence[EvaluationView]) -> float | None:
    walls = [e.wall_seconds for e in evaluations if e.wall_seconds > 0]
    return statistics.median(walls) if walls else None
