"""Train a large network from nested, copied and random weights; see nesting.toml beside this file.

Every (data set, seed, arm) that is finished is one line of results/nesting.jsonl,
so that an interrupted run goes on where it stopped.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measured import measured

from efn_compose.arch import HEAD_LAYER, ArchSpec, default_conventions, inventory, scaled_spec
from efn_compose.data.dataset import DataSet, load_data
from efn_compose.data.options import DataOptions
from efn_compose.donors import Donor
from efn_compose.nesting import direct_sum, nest
from efn_compose.nesting.fills import fresh_values

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "nesting.jsonl"
RIDGE = 1e-2


def large_spec(config: Mapping[str, Any]) -> ArchSpec:
    """Return the large network: Lite's stages, a stem and top with room for two donors."""
    spec = scaled_spec("lite", config["width"], config["depth"])
    stem = config["stem_channels"]
    first, *rest = spec.blocks
    first = dataclasses.replace(first, in_channels=stem, mid_channels=stem, has_skip=False)
    return dataclasses.replace(
        spec,
        variant=f"{spec.variant}-stem{stem}",
        stem_channels=stem,
        top_channels=config["top_channels"],
        blocks=(first, *rest),
    )


def random_weights(spec: ArchSpec, seed: int) -> dict[str, np.ndarray]:
    """Return default initial values: He kernels, identity BatchNorm."""
    return {tensor.name: fresh_values(tensor, "he", seed) for tensor in inventory(spec)}


def corner_copy(donor: Donor, spec: ArchSpec, seed: int) -> dict[str, np.ndarray]:
    """Return default initial values with the donor's tensors in the leading corners."""
    tensors = random_weights(spec, seed)
    for name, values in donor.without_head().tensors.items():
        tensors[name][tuple(slice(length) for length in values.shape)] = values
    return tensors


def arm_weights(
    arm: str, donors: list[Donor], spec: ArchSpec, seed: int, images: np.ndarray
) -> tuple[ArchSpec, Mapping[str, np.ndarray]]:
    """Return the network and backbone weights that an arm starts from."""
    first, second = (donor.without_head() for donor in donors)
    if arm == "small_donor":
        return first.spec, first.tensors
    if arm == "direct_sum":
        return spec, direct_sum(first, second, spec, seed=seed, images=images).tensors
    if arm == "corner_copy":
        return spec, corner_copy(first, spec, seed)
    if arm == "random":
        return spec, random_weights(spec, seed)
    fill = arm.removeprefix("nest_")
    return spec, nest(first, spec, fill=fill, seed=seed, images=images).tensors


def ridge_accuracy(
    features: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray]
) -> float:
    """Return test accuracy of a closed-form ridge classifier on (train, test) features."""
    train, test = (np.asarray(part, np.float64) for part in features)
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-6
    train, test = (train - mean) / std, (test - mean) / std
    targets = np.eye(labels[0].max() + 1)[labels[0]]
    gram = train @ train.T
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    dual = np.linalg.solve(gram, targets - targets.mean(axis=0))
    return float(((test @ (train.T @ dual) + targets.mean(axis=0)).argmax(1) == labels[1]).mean())


class Bench:
    """One traced large and one traced small network, given arm after arm."""

    def __init__(self, config: Mapping[str, Any], classes: int, learning_rate: float) -> None:
        from efn_compose.evolve.workers.devices import Device, prepare_device
        from efn_compose.train.resident.resident import TrainSettings

        prepare_device(Device(), 1)
        self.config, self.classes = config, classes
        self.settings = TrainSettings(config["batch_size"], learning_rate)
        self._models: dict[str, Any] = {}

    def _model(self, spec: ArchSpec) -> Any:
        from efn_compose.train.resident.resident import ResidentModel

        if spec.variant not in self._models:
            rules = default_conventions(spec)
            self._models[spec.variant] = ResidentModel(spec, rules, self.classes, self.settings)
        return self._models[spec.variant]

    def measure(
        self, spec: ArchSpec, tensors: Mapping[str, np.ndarray], data: DataSet, seed: int
    ) -> dict[str, Any]:
        """Return test accuracy and cross-entropy by number of epochs."""
        import tensorflow as tf

        from efn_compose.assess.metrics import accuracy, cross_entropy
        from efn_compose.train.resident.resident import batches

        model = self._model(spec)
        images, labels = tf.constant(data.train_images), tf.constant(data.train_labels)
        test = tf.constant(data.test_images)
        model.load(tensors, seed)
        results: dict[str, Any] = {"ridge_accuracy": self._ridge(model, data)}
        done = 0
        for epochs in self.config["epochs"]:
            for epoch in range(done, epochs):
                order = model.epoch_order(len(data.train_images), seed=1000 * seed + epoch)
                model.train(images, labels, order)
            done = epochs
            if epochs:
                model.recalibrate(images, model.epoch_order(len(data.train_images), seed))
                logits = model.predict(test, batches(len(data.test_images), 100))
                results[f"accuracy_{epochs}"] = accuracy(logits, data.test_labels)
                results[f"loss_{epochs}"] = cross_entropy(logits, data.test_labels)
        return results

    def _ridge(self, model: Any, data: DataSet) -> float:
        """Return what a closed-form classifier makes of the untrained features."""
        import keras

        features = keras.Model(model.model.input, model.model.get_layer("pool").output)
        scaling = default_conventions(model.spec).preprocessing

        def pooled(images: np.ndarray) -> np.ndarray:
            x = (images.astype(np.float32) - np.float32(scaling.mean)) / np.float32(scaling.std)
            parts = np.array_split(x, -(-len(x) // 100))
            return np.concatenate([features(part, training=False).numpy() for part in parts])

        both = pooled(data.train_images), pooled(data.test_images)
        return ridge_accuracy(both, (data.train_labels, data.test_labels))


def pending(config: Mapping[str, Any]) -> Iterator[tuple[str, float, int, str]]:
    """Yield what is still to be measured, all arms of a seed together."""
    keys = ("data", "learning_rate", "seed", "arm")
    done = {tuple(row[key] for key in keys) for row in measured(JOURNAL)}
    for seed in range(config["seeds"]):
        for source in config["data_sets"]:
            for rate in config["learning_rates"]:
                for arm in config["arms"]:
                    if (source, rate, seed, arm) not in done:
                        yield source, rate, seed, arm


def run(config: Mapping[str, Any]) -> None:
    """Measure everything that is not yet in the journal."""
    from converters import convert

    donors = [convert(name).donor for name in config["donors"]]
    spec = large_spec(config)
    benches: dict[float, Bench] = {}
    data: dict[tuple[str, int], DataSet] = {}
    JOURNAL.parent.mkdir(exist_ok=True)
    for source, rate, seed, arm in pending(config):
        if (source, seed) not in data:
            options = DataOptions(
                source, config["size"], config["train_images"], 100, config["test_images"]
            )
            data = {(source, seed): load_data(options, seed, show_progress=False)}
        images = data[source, seed]
        if rate not in benches:
            benches[rate] = Bench(config, images.classes, rate)
        started = time.perf_counter()
        network, tensors = arm_weights(arm, donors, spec, seed, images.train_images[:64])
        tensors = {k: v for k, v in tensors.items() if not k.startswith(f"{HEAD_LAYER}/")}
        row = {"data": source, "learning_rate": rate, "seed": seed, "arm": arm}
        row |= benches[rate].measure(network, tensors, images, seed)
        row["seconds"] = round(time.perf_counter() - started, 1)
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        sys.stderr.write(json.dumps(row) + "\n")


def report(config: Mapping[str, Any]) -> str:
    """Return the result tables: mean and standard error over seeds, percent."""
    rows = measured(JOURNAL)
    columns = ["ridge_accuracy", *(f"accuracy_{n}" for n in config["epochs"] if n)]
    lines = []
    for source in config["data_sets"]:
        for rate in config["learning_rates"]:
            mine = [r for r in rows if r["data"] == source and r["learning_rate"] == rate]
            lines += ["", f"### {source}, Adam {rate:g}", ""]
            heads = ["0 epochs (ridge)", *(f"{n} epochs" for n in config["epochs"] if n)]
            lines += [f"| start | seeds | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
            for arm in config["arms"]:
                ours = [r for r in mine if r["arm"] == arm]
                cells = [_cell([r[column] for r in ours]) for column in columns]
                lines.append(f"| {arm} | {len(ours)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float]) -> str:
    if not values:
        return "–"
    mean = 100 * float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {100 * float(np.std(values, ddof=1)) / len(values) ** 0.5:.1f}"


def main() -> None:
    """Run the experiment, or print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="print the tables and stop")
    parser.add_argument("--seeds", type=int, help="override the number of seeds")
    options = parser.parse_args()
    config = tomllib.loads((HERE / "nesting.toml").read_text(encoding="utf-8"))
    config["seeds"] = options.seeds or config["seeds"]
    if not options.report:
        run(config)
    sys.stdout.write(report(config))


if __name__ == "__main__":
    main()
