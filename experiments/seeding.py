"""Trainings from magic, donor and random weights; see seeding.toml beside this file.

Every finished (data set, seed, arm) is one line of results/seeding.jsonl, so that
an interrupted run goes on where it stopped.
"""

import argparse
import dataclasses
import itertools
import json
import os
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from efn_compose.arch import PREPROCESSINGS, inventory
from efn_compose.conversion import convert
from efn_compose.data.dataset import DataSet, load_data, take_data
from efn_compose.data.options import DataOptions
from efn_compose.data.split import Split
from efn_compose.data.table import ImageTable
from efn_compose.donors import Donor, load_donor
from efn_compose.nesting.fills import fresh_values

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "seeding.jsonl"
#: Pictures that scikit-image brings along.
PICTURES = ("brick", "grass", "gravel", "camera", "coins", "moon", "astronaut", "coffee")
PICTURES += ("chelsea", "page", "text")


def textures(config: Mapping[str, Any]) -> DataSet:
    """Return patches; training patches lie left of the picture's middle, the others right."""
    import skimage.data
    from PIL import Image

    rng = np.random.default_rng(config["split_seed"])
    counts = [config[f"{part}_images"] for part in ("train", "validation", "test")]
    images, labels = [], []
    for part, count in enumerate(counts):
        for number in range(count):
            label = number % len(PICTURES)
            picture = np.asarray(getattr(skimage.data, PICTURES[label])())
            picture = np.repeat(picture[..., None], 3, -1) if picture.ndim == 2 else picture
            side = min(64, picture.shape[0])
            width = picture.shape[1]
            # Left half for training; right half, first and second part, for the other two.
            low, high = ((0, 1 / 2), (1 / 2, 3 / 4), (3 / 4, 1))[part]
            first, last = int(low * width), int(high * width) - side
            x = int(rng.integers(first, max(first, last) + 1))
            y = int(rng.integers(0, picture.shape[0] - side + 1))
            patch = Image.fromarray(picture[y : y + side, x : min(x + side, int(high * width)), :3])
            images.append(np.asarray(patch.resize((config["size"],) * 2, Image.BILINEAR)))
            labels.append(label)
    ends = np.cumsum([0, *counts])
    parts = [rng.permutation(np.arange(a, b)) for a, b in itertools.pairwise(ends)]
    table = ImageTable(np.stack(images), np.array(labels, np.int32), PICTURES, "textures")
    return take_data(table, Split(*parts), config["size"], show_progress=False)


def data_set(name: str, config: Mapping[str, Any]) -> DataSet:
    if name == "textures":
        return textures(config)
    keys = ("size", "train_images", "validation_images", "test_images")
    options = DataOptions(source=name, **{key: config[key] for key in keys})
    return load_data(options, config["split_seed"], show_progress=False)


def starting_points(config: Mapping[str, Any], magic: Path | None) -> dict[str, Donor]:
    found = {}
    for source in config["donors"]:
        donor = convert(source).donor.without_head()
        found[donor.spec.variant] = donor
    if magic is not None:
        found["magic"] = load_donor(magic).without_head()
    return found


def train(
    resident: Any, data: DataSet, tensors: Mapping[str, np.ndarray], seed: int, epochs: int
) -> dict[str, Any]:
    """Return test accuracy and seconds after each epoch."""
    import tensorflow as tf

    from efn_compose.train.metrics import accuracy
    from efn_compose.train.resident import batches

    train_images, test_images = tf.constant(data.train_images), tf.constant(data.test_images)
    labels = tf.constant(data.train_labels)
    resident.load(tensors, seed)
    accuracies, seconds, spent = [], [], 0.0
    for epoch in range(epochs):
        start = time.perf_counter()
        order = resident.epoch_order(len(data.train_labels), 1000 * seed + epoch)
        resident.train(train_images, labels, order)
        resident.recalibrate(train_images, batches(len(data.train_labels), 256))
        spent += time.perf_counter() - start
        seconds.append(round(spent, 2))
        logits = resident.predict(test_images, batches(len(data.test_labels), 256))
        accuracies.append(round(accuracy(logits, data.test_labels), 4))
    return {"accuracy": accuracies, "seconds": seconds}


def jobs(config: Mapping[str, Any], has_magic: bool) -> Iterator[tuple[str, int, str]]:
    arms = [arm for arm in config["arms"] if arm != "magic" or has_magic]
    for seed in range(config["seeds"]):
        for name in config["data_sets"]:
            yield from ((name, seed, arm) for arm in arms)
        yield from (("digits", seed, f"ablation:{name}") for name in config["ablations"])


def run(config: Mapping[str, Any], magic: Path | None) -> None:
    from efn_compose.train.resident import ResidentModel, TrainSettings

    rows = read_rows()
    done = {(row["data"], row["seed"], row["arm"]) for row in rows}
    donors = starting_points(config, magic)
    data = {name: data_set(name, config) for name in config["data_sets"]}
    residents: dict[Any, Any] = {}
    waiting = [job for job in jobs(config, magic is not None) if job not in done]
    for number, (name, seed, arm) in enumerate(waiting):
        change = config["ablations"].get(arm.removeprefix("ablation:"), {})
        donor = donors.get(arm, donors["lite1"])
        rules = donor.conventions
        if "preprocessing" in change:
            rules = dataclasses.replace(
                rules, preprocessing=PREPROCESSINGS[change["preprocessing"]]
            )
        settings = TrainSettings(
            batch_size=change.get("batch_size", config["batch_size"]),
            learning_rate=config["learning_rate"],
            schedule=change.get("schedule", "constant"),
        )
        tensors = donor.tensors
        if arm == "random":
            tensors = {t.name: fresh_values(t, "he", seed) for t in inventory(donor.spec)}
        # One traced model serves all weights of one network under equal conventions.
        key = (donor.spec, rules, data[name].classes, settings)
        if key not in residents:
            residents[key] = ResidentModel(donor.spec, rules, data[name].classes, settings)
            # Tracing is not training: its seconds are left out.
            train(residents[key], data[name], tensors, seed, 1)
        measured = train(residents[key], data[name], tensors, seed, config["epochs"])
        row = {"data": name, "seed": seed, "arm": arm, **measured}
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{number + 1}/{len(waiting)} {row}", flush=True)


def read_rows() -> list[dict[str, Any]]:
    if not JOURNAL.exists():
        return []
    return [json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines()]


def report(config: Mapping[str, Any]) -> str:
    """Return the tables in Markdown."""
    rows = read_rows()
    lines = [
        "| data | start | seeds | accuracy after each epoch, mean ± SE | seeds that reach the target "
        "| epochs to it, mean of those | seconds to it, median of those |",
        "|---|---|---|---|---|---|---|",
    ]
    names = [*config["arms"], *(f"ablation:{name}" for name in config["ablations"])]
    for data in config["data_sets"]:
        target = config["targets"][data]
        for arm in names:
            mine = [row for row in rows if (row["data"], row["arm"]) == (data, arm)]
            if not mine:
                continue
            curves = np.array([row["accuracy"] for row in mine])
            shown = ", ".join(_mean_and_error(column) for column in curves.T)
            firsts = [np.flatnonzero(curve >= target) for curve in curves]
            hits = [
                (int(first[0]) + 1, row["seconds"][first[0]])
                for first, row in zip(firsts, mine, strict=True)
                if len(first)
            ]
            epochs = f"{np.mean([hit[0] for hit in hits]):.1f}" if hits else "-"
            seconds = f"{np.median([hit[1] for hit in hits]):.1f}" if hits else "-"
            lines.append(
                f"| {data} (target {target:g}) | {arm} | {len(mine)} | {shown} | "
                f"{len(hits)} of {len(mine)} | {epochs} | {seconds} |"
            )
    return "\n".join(lines)


def _mean_and_error(values: np.ndarray) -> str:
    if len(values) < 2:
        return f"{values.mean():.3f}"
    return f"{values.mean():.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--magic", type=Path, help="efn_magic_weights.h5 of the quickstart")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    config = tomllib.loads((HERE / "seeding.toml").read_text(encoding="utf-8"))
    if options.report:
        print(report(config))
    else:
        run(config, options.magic)


if __name__ == "__main__":
    main()
