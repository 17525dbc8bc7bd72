"""More seeds of the fine-tuned endpoint, for what arms of the relatives' experiment have found.

Purpose: the four seeds of an endpoint shake a difference of two arms as much as the targets' seeds do,
         on digits and clip art even more. Searches need not run again: the journal has their genomes.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/relatives_endpoints.py
         An arm that has all its seeds is not measured again.
Time:    about 70 processor seconds for an arm and a seed of the target.
Result:  experiments/results/relatives.md, whose tables take these seeds with the others:
         python experiments/relatives.py --summary
"""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measured import measured
from relatives import JOURNAL, finished
from relatives_bench import ENDPOINTS, FITNESS, Bench, bench_of
from relatives_data import ancestor, relatives, traced
from relatives_tables import MORE, setting_of

from efn_compose.compose import Recipe, genome_space
from efn_compose.compose.averaging import Tensors

FINE_TUNED = "fine-tuned"
#: Seeds of the endpoint, those of the journal among them.
SEEDS = 12
ARMS = (
    "best relative",
    "genetic search, network shares",
    "random search, network shares",
    "random search, network shares, no surrogate",
)
#: By how much a loss may differ that is measured again; it is written with five digits.
TOLERANCE = 2e-5


def tensors_of(bench: Bench, note: Mapping[str, Any]) -> Tensors:
    """Return what an arm has found: a donor by its name, or a composition by its genes."""
    if "chosen" in note:
        return next(donor.tensors for donor in bench.donors if donor.name == note["chosen"])
    space = genome_space(bench.donors[0].spec, len(bench.donors), "network_share")
    tensors = [donor.tensors for donor in bench.donors]
    return dict(Recipe.genome(tuple(note["genes"])).compose(space, tensors))


def measure(bench: Bench, row: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the scores of the seeds that a row of the journal has not.

    Raises:
        SystemExit: The first seed of the row comes out otherwise, so these are other relatives.
    """
    epochs, rate, known = ENDPOINTS[FINE_TUNED]
    weights = tensors_of(bench, row["note"])
    first = 500_000 + 100 * bench.seed
    again = bench.evaluate(weights, first, "test", epochs, rate)["loss"]
    if abs(again - row[FINE_TUNED]["loss"][0]) > TOLERANCE:
        raise SystemExit(
            f"{row['target']}, seed {bench.seed}, {row['arm']}: the loss is {again:.5f}, "
            f"but {JOURNAL.name} has {row[FINE_TUNED]['loss'][0]:.5f}. Are these the same relatives?"
        )
    found = [
        bench.evaluate(weights, seed, "test", epochs, rate)
        for seed in range(first + known, first + SEEDS)
    ]
    return {key: [round(scores[key], 5) for scores in found] for key in ("loss", "accuracy")}


def pending(options: argparse.Namespace) -> Iterator[tuple[tuple, list[dict]]]:
    """Yield target, labels, seed and kind of relatives, and the rows that want more seeds."""
    groups: dict[tuple, list[dict]] = {}
    for row in finished():
        is_short = len(row[FINE_TUNED]["loss"]) < SEEDS
        is_asked = row["target"] in options.targets and row["seed"] in options.seeds
        if is_short and is_asked and row["arm"] in options.arms:
            groups.setdefault((*setting_of(row), row["seed"]), []).append(row)
    yield from groups.items()


def main() -> None:
    """Measure all that the journal of more seeds has not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="*", default=["garments", "digits", "clip art"])
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(10)))
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--folder", type=Path, default=Path("runs/relatives"), help="relatives")
    options = parser.parse_args()
    made, base = relatives(options.folder), ancestor()
    workers = traced(base, FITNESS)
    for (target, labels, kind, seed), rows in pending(options):
        bench = bench_of(target, labels, seed, kind, made, base, workers, options.folder)
        for row in rows:
            key = {name: row[name] for name in ("target", "labels", "relatives", "seed", "arm")}
            with MORE.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**key, FINE_TUNED: measure(bench, row)}) + "\n")
            print(*key.values(), flush=True)
    print(f"{len(measured(MORE))} arms have {SEEDS} seeds.")


if __name__ == "__main__":
    main()
