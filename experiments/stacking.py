"""Thousands of second-level models on made-up columns: how long they take, and whether a kill changes a byte.

    python experiments/stacking.py runs/stacking --models 5000
    python experiments/stacking.py runs/nodes --models 100 --nodes 4    # kills two of four Ray nodes

Stop it at any moment, by `kill -9` too, and give the same command again: it goes on. At the end it prints
the seconds of all models and a hash over all answers, which does not depend on workers or kills.
"""

import argparse
import contextlib
import hashlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from made_up_models import fitted_models

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.jobs.ensembles.stacking.inputs import StackData
from efn_compose.jobs.ensembles.stacking.portfolio import load_portfolio
from efn_compose.jobs.ensembles.stacking.run import fit_portfolio
from efn_compose.store.journal import Journal

#: 100 models for each number of seeds: half of the columns each, drawn by the seed.
PORTFOLIO = """
[[model]]
kind = "ridge"
inputs = ["logits", "ranks"]
strength = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0]
columns = [0.25, 0.5]
seed = SEEDS

[[model]]
kind = "logistic"
strength = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
columns = [0.25, 0.5]
inputs = ["logits", "ranks"]
seed = SEEDS

[[model]]
kind = "lightgbm"
leaves = [4, 7]
rounds = [30, 60]
columns = [0.25, 0.5]
seed = SEEDS

[[model]]
kind = "extra_trees"
trees = [30]
leaf = [5, 10, 20, 50]
columns = [0.1, 0.25, 0.5]
seed = SEEDS
"""
PER_SEED = 100


@contextlib.contextmanager
def dying_nodes(count: int, journal: Path, models: int) -> Iterator[str]:
    """Start Ray nodes on this machine, and kill the last two once answers have come.

    Yields:
        The cluster's address.
    """
    from ray_nodes import LocalCluster

    # A short path: the names of Ray's sockets must stay short.
    with tempfile.TemporaryDirectory(prefix="rn", dir="/tmp") as folder:
        cluster = LocalCluster(Path(folder), first=160)
        os.environ.update(cluster.environment)
        is_over = threading.Event()

        def attack() -> None:
            for number, share in ((count - 1, 0.2), (count - 2, 0.4)):
                while not is_over.wait(0.2):
                    lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
                    if lines >= share * models:
                        cluster.kill(number)
                        print(f"killed node {number} after {lines} models", flush=True)
                        break

        attacker = threading.Thread(target=attack)
        try:
            cluster.start(0, 0)
            cluster.wait(0)
            for number in range(1, count):
                # One after another: all at once they wait for each other too long.
                cluster.start(number, 1)
                cluster.wait(number)
            attacker.start()
            yield cluster.address
        finally:
            is_over.set()
            if attacker.ident is not None:
                attacker.join()
            cluster.close()


def main() -> None:
    """Fit what is not yet fitted, and print the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=0, help="Ray nodes, two of which are killed")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    seeds = list(range(1, max(1, options.models // PER_SEED) + 1))
    path = options.folder / "portfolio.toml"
    path.write_text(PORTFOLIO.replace("SEEDS", str(seeds)))
    models, _ = load_portfolio(str(path))
    out_of_fold, test, rows, _, _ = fitted_models(0, rows=options.rows, test=1000, models=60)
    data = StackData.of(out_of_fold, test, rows.label, rows.fold)
    journal = Journal(options.folder / "evaluations.jsonl")
    known = len(journal)
    begun, busy = time.perf_counter(), time.process_time()
    with contextlib.ExitStack() as stack:
        executor = ExecutorOptions(kind="serial")
        if options.nodes:
            address = stack.enter_context(
                dying_nodes(options.nodes + 1, options.folder / "evaluations.jsonl", len(models))
            )
            executor = ExecutorOptions(kind="ray", address=address)
        elif options.workers > 1:
            executor = ExecutorOptions(kind="ray", workers=options.workers)
        fit_portfolio(models, data, options.folder, journal, executor, say=print)
    wall, busy = time.perf_counter() - begun, time.process_time() - busy
    seconds = sum(record["timing"]["seconds"] for record in journal)
    journal.close()
    digest = hashlib.sha256()
    for model in models:
        digest.update((options.folder / "stack" / f"{model.key}.npy").read_bytes())
    print(
        f"{len(models)} models of {options.rows} rows x 60 columns, "
        f"{f'{options.nodes} nodes' if options.nodes else f'{options.workers} workers'}: "
        f"{len(models) - known} fitted now in {wall:.0f} s, {busy:.0f} processor seconds of this process; "
        f"all models together took {seconds:.0f} s; answers {digest.hexdigest()[:16]}"
    )


if __name__ == "__main__":
    main()
