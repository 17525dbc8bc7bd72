"""Drive a search on a cluster that exists on paper: 1,000 workers, 100,000 evaluations.

    python experiments/cluster_simulation.py

Workers answer on a virtual clock. An evaluation takes a lognormal time (median 20 s, standard
deviation of the logarithm 0.8), one in a hundred ten times as long. Everything else is the
product: search, ledger, journal on disk with one fsync per evaluation. Measured are the driver's
processor time per evaluation, its memory, the share of time workers wait, and how long the
finished journal takes to replay. --evaluations and --workers make it smaller.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from simulated_executor import SimulatedExecutor

from efn_compose.arch import arch_spec
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.genetic.search_loop import SearchLoop
from efn_compose.evolve.journal.budget import Budget
from efn_compose.evolve.journal.ledger import Ledger
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.kind import Workplace
from efn_compose.evolve.kinds.steady import Steady
from efn_compose.evolve.options import BudgetOptions
from efn_compose.evolve.workers.seat import Seat
from efn_compose.store.journal import Journal

KINDS = {"genetic": Genetic, "steady": Steady}
DONORS = 6


class MemoryWatcher:
    """Notes resident memory as evaluations come in."""

    def __init__(self) -> None:
        self.count = 0
        self.megabytes: list[tuple[int, float]] = []

    def on_evaluation(self, record, is_replayed):
        """Count it."""
        self.count += 1
        if self.count % 5000 == 0:
            self.megabytes.append((self.count, resident_mb()))

    def on_generation(self, generation, search):
        """Ignore it."""

    def on_note(self, text):
        """Ignore it."""


class SimulatedCluster(SimulatedExecutor):
    """Keeps no list of what it was asked, and its own processor time apart."""

    own_seconds = 0.0

    def answer(self, task):
        outcome = super().answer(task)
        self.asked.clear()
        return outcome

    def run(self, tasks, seat=None):
        # Time in here, but not in the search that tasks are taken from, is the simulation's.
        def outside():
            iterator = iter(tasks)
            while True:
                self.own_seconds += time.process_time()
                task = next(iterator, None)
                self.own_seconds -= time.process_time()
                if task is None:
                    return
                yield task

        self.own_seconds -= time.process_time()
        for found in super().run(outside(), seat):
            self.own_seconds += time.process_time()
            yield found
            self.own_seconds -= time.process_time()
        self.own_seconds += time.process_time()


def resident_mb() -> float:
    """Return this process' resident memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def simulate(mode: str, workers: int, evaluations: int, population: int, path: Path) -> dict:
    """Search once and return what was measured."""
    executor = SimulatedCluster(workers, seed=1)
    watcher = MemoryWatcher()
    ledger = Ledger(Journal(path), executor, watcher)
    kind = KINDS[mode](population=population, generations=evaluations // population - 1)
    loop = SearchLoop(
        seat=Seat(GenomeSpace(arch_spec("b0"), DONORS, "block"), [{}] * DONORS),
        donor_names=tuple("abcdef"),
        generations=kind.generations,
        size=lambda generation: kind.size(generation, DONORS),
        ending=lambda generation: 0,
        epochs=1.0,
        seed=1,
        noise=(2.5e-5, 4),
        ledger=ledger,
        budget=Budget(BudgetOptions(), ledger.clock, workers=workers),
        watcher=watcher,
    )
    wall, processor = time.perf_counter(), time.process_time()
    found_best = kind.search(loop, Workplace((), executor, path.parent), finalists=1)
    used = time.process_time() - processor - executor.own_seconds
    best = found_best.finalists[0].values
    found = {
        "mode": mode,
        "workers": workers,
        "population": population,
        "evaluations": ledger.count,
        "simulated hours": round(executor.now / 3600, 2),
        "idle share": round(1 - executor.busy / (executor.now * workers), 4) if executor.now else 0,
        "driver CPU ms per evaluation": round(used / ledger.count * 1000, 3),
        "processor seconds": round(time.process_time() - processor, 1),
        "wall seconds": round(time.perf_counter() - wall, 1),
        "memory MB": watcher.megabytes,
        "best": "".join(map(str, best)),
    }
    if mode == "steady":
        found["idle share while asking"] = round(executor.idle_while_asking, 4)
    return found


def main() -> None:
    """Simulate both modes and replay both journals."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--population", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--folder", help="for the journals, such as /dev/shm: no disk to wait for")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for mode in args.kinds:
            path = Path(folder) / f"{mode}.jsonl"
            found = simulate(mode, args.workers, args.evaluations, args.population, path)
            again = simulate(mode, args.workers, args.evaluations, args.population, path)
            found["journal MB"] = round(path.stat().st_size / 1e6, 1)
            found["replay wall seconds"] = again["wall seconds"]
            found["replay processor seconds"] = again["processor seconds"]
            found["replay equal"] = again["best"] == found["best"]
            found["evaluated again"] = again["evaluations"] - args.evaluations
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
