"""What unlabelled images are worth: Noisy Student and Mean Teacher beside labels alone.

Purpose: 100 labelled digits, 1,000 unlabelled, 697 to test on; a Lite of a quarter of the width and
         one block per stage, from random weights, 32 px. All arms make about the same number of
         updates, so that what is seen is not longer training; one arm has the student's
         augmentation without its unlabelled images, one has all 1,100 labels.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/semi_supervised.py
Time:    about two minutes a seed on one core.
Result:  experiments/results/semi_supervised.md
"""

import argparse
import dataclasses
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from efn_compose.arch import arch_spec, default_conventions, inventory
from efn_compose.assess.evaluation import assess
from efn_compose.assess.metrics import log_softmax
from efn_compose.data import load_table
from efn_compose.data.decoding.decode import resize_images
from efn_compose.donors import Donor
from efn_compose.nesting.fills import fresh_values
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import (
    Classification,
    FittedModel,
    Trainer,
    TrainingData,
    TrainOptions,
    fit,
)
from efn_compose.train.semi import SemiOptions
from efn_compose.train.semi.mean_teacher import MeanTeacher, mean_teacher
from efn_compose.train.semi.noisy_student import STUDENT_AUGMENT, repeated, run_rounds

LABELLED, UNLABELLED, SIZE, NETWORK = 100, 1000, 32, "lite-w0.25-d0.3"
#: 0.25 labelled in what a student sees: 1,000 pseudo-labels and 334 labelled, or 13 passes over 100.
PASSES = 13
BASE = "labels alone"
JOURNAL = Path(__file__).parent / "results" / "semi_supervised.jsonl"


def parts(seed: int) -> tuple[TrainingData, np.ndarray, np.ndarray, TrainingData]:
    """Return labelled and test images, unlabelled images, their labels, and all with labels."""
    table = load_table("digits")
    rng = np.random.default_rng([seed, 77])
    labelled = np.concatenate(
        [rng.choice(np.flatnonzero(table.labels == c), LABELLED // 10, False) for c in range(10)]
    )
    others = rng.permutation(np.setdiff1d(np.arange(len(table)), labelled))
    rest, test = others[:UNLABELLED], others[UNLABELLED:]
    known, unknown, unseen = (
        resize_images(table.images, numbers, SIZE, False) for numbers in (labelled, rest, test)
    )
    labels = table.labels
    few = TrainingData(table.class_names, known, labels[labelled], unseen, labels[test])
    every = TrainingData(
        table.class_names,
        np.concatenate([known, unknown]),
        labels[np.concatenate([labelled, rest])],
        unseen,
        labels[test],
    )
    return few, unknown, labels[rest], every


def run(seed: int, epochs: int) -> None:
    """Train all arms of a seed; each is one line of the journal."""
    spec = arch_spec(NETWORK)
    fresh = {tensor.name: fresh_values(tensor, "he", 1) for tensor in inventory(spec)}
    donor = Donor("random", spec, default_conventions(spec), fresh)
    # The last epoch is scored, none is chosen: the test images decide nothing.
    options = TrainOptions(epochs=epochs, batch_size=32, dropout=0.2, learning_rate=3e-3)
    semi = SemiOptions(rounds=2, confidence=0.5, teacher_passes=PASSES, consistency=10.0)
    trainer = Trainer(donor, Classification(10, options))
    pair = Trainer(donor, MeanTeacher(10, options, semi))
    # A mirrored digit is none.
    plain = AugmentOptions(flip_x=0.0)
    heavy = dataclasses.replace(STUDENT_AUGMENT, flip_x=0.0)
    few, unknown, truth, every = parts(seed)

    def note(arm: str, fitted: FittedModel, start: float) -> None:
        seconds = time.perf_counter() - start
        score = assess(
            few.validation_labels, np.exp(log_softmax(fitted.predict(few.validation_images)))
        )
        row = {
            "seed": seed,
            "arm": arm,
            "accuracy": score.accuracy.value,
            "loss": score.loss,
            "right_on_unlabelled": float((fitted.predict(unknown).argmax(1) == truth).mean()),
            "seconds": round(seconds, 1),
        }
        with JOURNAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def train(what: TrainingData, seen: AugmentOptions, number: int) -> FittedModel:
        start = time.perf_counter()
        fitted = fit(donor, what, options, seen, seed=seed, trainer=trainer)
        names = (BASE, "Noisy Student, round 1", "Noisy Student, round 2")
        note(names[number], fitted, start)
        return fitted

    run_rounds(few, unknown, semi, train, plain, heavy)
    start = time.perf_counter()
    fitted = fit(donor, repeated(few, PASSES), options, heavy, seed=seed, trainer=trainer)
    note("labels alone, the student's augmentation", fitted, start)
    start = time.perf_counter()
    fitted = mean_teacher(donor, few, unknown, semi, options, plain, seed=seed, trainer=pair)
    note("Mean Teacher", fitted, start)
    start = time.perf_counter()
    fitted = fit(donor, every, options, plain, seed=seed, trainer=trainer)
    note("all 1,100 labels", fitted, start)


def report(rows: list[dict]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| arm | accuracy, mean ± SE | minus labels alone, mean ± SE | loss | right on the unlabelled |",
        "|---|---|---|---|---|",
    ]
    base = {row["seed"]: row["accuracy"] for row in rows if row["arm"] == BASE}
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        accuracy = np.array([row["accuracy"] for row in mine])
        gain = accuracy - [base[row["seed"]] for row in mine]
        shown = [_mean_and_error(accuracy, ""), _mean_and_error(gain, "+")]
        means = [np.mean([row[key] for row in mine]) for key in ("loss", "right_on_unlabelled")]
        lines.append(f"| {arm} | {shown[0]} | {shown[1]} | {means[0]:.3f} | {means[1]:.3f} |")
    return "\n".join(lines)


def _mean_and_error(values: np.ndarray, sign: str) -> str:
    if len(values) < 2:
        return f"{values.mean():{sign}.3f}"
    return f"{values.mean():{sign}.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--report", action="store_true", help="only print the table of the journal")
    chosen = parser.parse_args()
    for seed in () if chosen.report else chosen.seeds:
        run(seed, chosen.epochs)
    print(report([json.loads(line) for line in JOURNAL.read_text(encoding="utf-8").splitlines()]))


if __name__ == "__main__":
    main()
