"""Trainings from magic, donor and random weights with the recipe; see seeding.toml beside this file.

Every finished (data set, seed, arm) is one line of results/seeding.jsonl, so that
an interrupted run goes on where it stopped.
"""

import argparse
import dataclasses
import functools
import itertools
import os
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
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
from efn_compose.store import Journal, read_journal

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "seeding.jsonl"
#: Pictures that scikit-image brings along.
PICTURES = ("brick", "grass", "gravel", "camera", "coins", "moon", "astronaut", "coffee")
PICTURES += ("chelsea", "page", "text")
#: Said after a start's name: the statistics of the training images are not absorbed.
AS_IT_IS = " as it is"


def textures(config: Mapping[str, Any]) -> DataSet:
    """Return patches; training patches lie left of the picture's middle, the others right."""
    from PIL import Image

    rng = np.random.default_rng(config["split_seed"])
    counts = [config[f"{part}_images"] for part in ("train", "validation", "test")]
    images, labels = [], []
    for part, count in enumerate(counts):
        for number in range(count):
            label = number % len(PICTURES)
            picture = _picture(PICTURES[label])
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


@functools.cache
def _picture(name: str) -> np.ndarray:
    """Return one of scikit-image's pictures as uint8 (height, width, channel)."""
    import skimage.data

    picture = np.asarray(getattr(skimage.data, name)())
    return np.repeat(picture[..., None], 3, -1) if picture.ndim == 2 else picture


def data_set(name: str, config: Mapping[str, Any]) -> DataSet:
    if name == "textures":
        return textures(config)
    keys = ("size", "train_images", "validation_images", "test_images")
    options = DataOptions(source=name, **{key: config[key] for key in keys})
    return load_data(options, config["split_seed"], show_progress=False)


Row = dict[str, Any]


def starting_points(config: Mapping[str, Any], magic: Path | None) -> dict[str, Donor]:
    """Return the donors by variant, and the magic weights."""
    found = {}
    for source in config["donors"]:
        donor = convert(source).donor.without_head()
        found[donor.spec.variant] = donor
    if magic is not None:
        found["magic"] = load_donor(magic).without_head()
    return found


class Stopwatch:
    """Notes the processor seconds at the end of each epoch; a busy machine does not count."""

    def __init__(self) -> None:
        self.begun = time.process_time()
        self.seconds: list[float] = []

    def on_update(self, done: int, planned: int, loss: float) -> None:
        """Do nothing."""

    def on_rates(self, curve: Any) -> None:
        """Do nothing: a range test is part of the time."""

    def on_epoch(self, history: Any) -> None:
        """Note the time."""
        self.seconds.append(round(time.process_time() - self.begun, 2))


class Experiment:
    """Runs jobs; a network that is built and traced serves all trainings like it.

    Args:
        config: Of seeding.toml.
        magic: The magic weights, where they are to take part.
    """

    def __init__(self, config: Mapping[str, Any], magic: Path | None) -> None:
        self.config = config
        self.donors = starting_points(config, magic)
        self._trainers: dict[Any, Any] = {}
        self.data = functools.cache(lambda name: data_set(name, config))

    def run(self, name: str, seed: int, arm: str) -> Row:
        """Train once and return accuracy and processor seconds after each epoch."""
        from efn_compose.train.augment import AugmentOptions
        from efn_compose.train.recipe import TrainingData, TrainOptions, fit

        config = self.config
        # TOML has lists; options are compared and hashed.
        change = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config["ablations"].get(arm.removeprefix("ablation:"), {}).items()
        }
        start = arm.removesuffix(AS_IT_IS)
        if start != arm:
            change["absorb"] = "never"
        donor = self.donors.get(start, self.donors[config["ablation_donor"]])
        if arm == "random":
            donor = self.donors["lite1"]
            fresh = {t.name: fresh_values(t, "he", seed) for t in inventory(donor.spec)}
            donor = donor.replace(tensors=fresh)
        if scaling := change.pop("preprocessing", None):
            rules = dataclasses.replace(donor.conventions, preprocessing=PREPROCESSINGS[scaling])
            donor = donor.replace(conventions=rules)
        options = TrainOptions(**config["train"] | change)
        found = self.data(name)
        scored = slice(config["scored_images"])
        data = TrainingData(
            found.class_names,
            found.train_images,
            found.train_labels,
            found.test_images[scored],
            found.test_labels[scored],
        )
        trainer = self._traced(donor, data, options, is_last=arm.startswith("ablation:"))
        # Digits and letters are not their mirror images.
        plain, watch = AugmentOptions(flip_x=0.0), Stopwatch()
        fitted = fit(donor, data, options, plain, seed=seed, watcher=watch, trainer=trainer)
        accuracy = [round(r.validation["accuracy"], 4) for r in fitted.history.epochs]
        row = {"data": name, "seed": seed, "arm": arm}
        row |= {"accuracy": accuracy, "cpu_seconds": watch.seconds}
        if options.find_rate:
            row["rate"] = fitted.history.learning_rate
        return row

    def _traced(self, donor: Donor, data: Any, options: Any, *, is_last: bool) -> Any:
        """Return a trainer that has made an update of each kind, so that tracing is not timed."""
        from efn_compose.train.augment import AugmentOptions
        from efn_compose.train.recipe import Classification, Trainer, TrainingData, fit

        key = (donor.spec, donor.conventions, data.classes, options)
        if key not in self._trainers:
            if is_last:
                self._trainers.clear()  # nobody comes back to the one before
            trainer = Trainer(donor, Classification(data.classes, options))
            # Different sizes are one trace; few images will do.
            few = TrainingData(
                data.class_names,
                data.train_images[: options.batch_size],
                data.train_labels[: options.batch_size],
                data.validation_images[:2],
                data.validation_labels[:2],
            )
            fit(donor, few, options, AugmentOptions(flip_x=0.0), trainer=trainer)
            self._trainers[key] = trainer
        return self._trainers[key]


def jobs(config: Mapping[str, Any], has_magic: bool) -> Iterator[tuple[str, int, str]]:
    """Yield (data set, seed, arm): the pilot, the comparison, the ablations."""
    arms = [arm for arm in config["arms"] if arm.removesuffix(AS_IT_IS) != "magic" or has_magic]
    for arm, name in itertools.product(arms, config["data_sets"]):
        if arm.removesuffix(AS_IT_IS) not in ("magic", "random"):
            yield name, config["pilot_seed"], arm
    for name, seed, arm in itertools.product(config["data_sets"], config["seeds"], arms):
        yield name, seed, arm
    for name, seed in itertools.product(config["ablations"], config["seeds"]):
        yield config["ablation_data"], seed, f"ablation:{name}"


def run(config: Mapping[str, Any], magic: Path | None, part: int, parts: int) -> None:
    # A journal has one writer: of several processes each has its own.
    journal = Journal(JOURNAL if parts == 1 else JOURNAL.with_suffix(f".{part}.jsonl"))
    waiting = [job for job in jobs(config, magic is not None) if job[1] % parts == part]
    experiment = Experiment(config, magic)
    made, begun = 0, time.monotonic()
    for number, job in enumerate(waiting, 1):
        # Looked up each time: another process may have done it meanwhile.
        if job in {(row["data"], row["seed"], row["arm"]) for row in read_rows()}:
            continue
        row = experiment.run(*job)
        journal.append(row)
        made += 1
        left = (time.monotonic() - begun) / made * (len(waiting) - number) / 60
        print(f"{number}/{len(waiting)}, at most {left:.0f} min left: {row}", flush=True)


def read_rows() -> list[Row]:
    """Return the rows of all journals."""
    files = sorted(JOURNAL.parent.glob(f"{JOURNAL.stem}*.jsonl"))
    return [row for file in files for row in read_journal(file).records]


def target(config: Mapping[str, Any], rows: Sequence[Row], data: str) -> float | None:
    """Return the accuracy to be reached, from the pilot alone; None before there is one."""
    pilots = [
        row["accuracy"][config["target_epoch"] - 1]
        for row in rows
        if row["data"] == data and row["seed"] == config["pilot_seed"]
    ]
    return int(max(pilots) * 20) / 20 if pilots else None


def report(config: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return the tables in Markdown."""
    published = [row for row in rows if row["seed"] in config["seeds"]]
    lines = ["## Starts", "", *_head("data", "start")]
    for data, arm in itertools.product(config["data_sets"], config["arms"]):
        goal = target(config, rows, data)
        mine = [row for row in published if (row["data"], row["arm"]) == (data, arm)]
        lines += [_line(f"{data} (target {goal:g})", arm, mine, goal)] if mine else []
    data, donor = config["ablation_data"], config["ablation_donor"]
    base = {r["seed"]: r for r in published if (r["data"], r["arm"]) == (data, donor)}
    if not any(row["arm"].startswith("ablation:") for row in published):
        return "\n".join(lines)
    lines += ["", f"## What each part is worth: {data}, from {donor}", "", *_head("change", "")]
    goal = target(config, rows, data)
    if base:
        lines.append(_line("none", "", list(base.values()), goal))
    for name in config["ablations"]:
        mine = [row for row in published if row["arm"] == f"ablation:{name}"]
        pairs = [
            r["accuracy"][-1] - base[r["seed"]]["accuracy"][-1] for r in mine if r["seed"] in base
        ]
        if pairs:
            lines.append(_line(name, f"{_mean_and_error(np.array(pairs), sign=True)}", mine, goal))
    return "\n".join(lines)


def _head(first: str, second: str) -> list[str]:
    second = second or "last accuracy less that without the change, paired by seed"
    return [
        f"| {first} | {second} | seeds | accuracy after each epoch, mean | last, mean ± SE "
        "| reach the target | epochs to it, mean | processor seconds to it, median |",
        "|---|---|---|---|---|---|---|---|",
    ]


def _line(first: str, second: str, rows: Sequence[Row], goal: float) -> str:
    curves = np.array([row["accuracy"] for row in rows])
    hits = [
        (int(where[0]) + 1, row["cpu_seconds"][where[0]])
        for row in rows
        if len(where := np.flatnonzero(np.array(row["accuracy"]) >= goal))
    ]
    # A mean over those that arrive would flatter the arms that often do not.
    is_whole = len(hits) == len(rows)
    epochs = f"{np.mean([hit[0] for hit in hits]):.1f}" if is_whole else "-"
    seconds = f"{np.median([hit[1] for hit in hits]):.1f}" if is_whole else "-"
    shown = ", ".join(f"{value:.3f}" for value in curves.mean(axis=0))
    last = _mean_and_error(curves[:, -1])
    return (
        f"| {first} | {second} | {len(rows)} | {shown} | {last} | {len(hits)} of {len(rows)} "
        f"| {epochs} | {seconds} |"
    )


def _mean_and_error(values: np.ndarray, sign: bool = False) -> str:
    mean = f"{values.mean():+.3f}" if sign else f"{values.mean():.3f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--magic", type=Path, help="efn_magic_weights.h5 of the quickstart")
    parser.add_argument("--part", default="0/1", help="N/M: the seeds of this one of M processes")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    config = tomllib.loads((HERE / "seeding.toml").read_text(encoding="utf-8"))
    if options.report:
        print(report(config, read_rows()))
    else:
        run(config, options.magic, *map(int, options.part.split("/")))


if __name__ == "__main__":
    main()
