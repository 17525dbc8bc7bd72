"""Kill workers, nodes, the head and the driver at random over a run, then compare with a calm run.

    python experiments/fault_campaign.py --kills 200
    python experiments/fault_campaign.py --kills worker driver node   # these, in this order

Evaluations are cheap (a formula and a short sleep), everything around them is real: Ray on
several nodes of this machine, the executor, the journal, the search, the weight file. After the
last kill the run is left alone until it ends. Its journal, but for what stands under "timing",
and its magic file must equal those of a run that nobody disturbed. In steady-state mode the order
of answers is chance, so there the finished journal must replay to the same magic file, with
nothing evaluated again. Stop it at any time; --folder DIR goes on where it stopped.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests" / "support"
sys.path.insert(0, str(TESTS))

from fake_executor import fake_evaluation  # noqa: E402

from efn_compose.evolve.workers.executors.ray_executor import RayExecutor  # noqa: E402
from efn_compose.evolve.workers.task import Task  # noqa: E402
from efn_compose.evolve.workers.tasks import EvaluationTask  # noqa: E402
from efn_compose.evolve.workers.worker import Worker  # noqa: E402

CPUS = 1
#: Seconds to wait for an answer before the next kill comes nevertheless.
PATIENCE = 45.0
#: Of 100 kills: workers, drivers, nodes, the head.
SHARES = {"worker": 55, "driver": 20, "node": 22, "head": 3}


@dataclass(frozen=True)
class PlainSetup:
    """Makes workers without a network."""

    def make_worker(self, data, device):
        return Worker()


@dataclass(frozen=True)
class SleepyTask(Task):
    """Answers a task of the search after a while: by a formula, or composed without a network."""

    task: Task

    def run(self, worker):
        recipe = self.task.recipe
        if not isinstance(self.task, EvaluationTask):
            return dict(recipe.compose(worker.seat.space, worker.seat.donors))
        time.sleep(random.Random(f"{recipe.values}{self.task.seed}").uniform(0.02, 0.3))
        return fake_evaluation(self.task)


class SleepyExecutor(RayExecutor):
    """Ray's executor, asked for sleepy answers."""

    def run(self, tasks, seat=None):
        return super().run((SleepyTask(task) for task in tasks), seat)


@dataclass(frozen=True)
class Size:
    """How large the run under attack is, and the cluster that makes it."""

    generations: int
    population: int
    nodes: int


def drive(folder: Path, mode: str, size: Size, address: str) -> None:
    """Be the driver: begin or resume the run, to its end."""
    from fake_executor import FakeExecutor
    from random_donors import random_donor
    from search_runs import QuietWatcher

    from efn_compose.donors.options import DonorOptions
    from efn_compose.evolve.ending import describe_result, write_magic_weights
    from efn_compose.evolve.kinds.table import KINDS
    from efn_compose.evolve.options import ExecutorOptions, FinalsOptions, FitnessOptions
    from efn_compose.evolve.run import EvolutionRun
    from efn_compose.store import RunFolder

    identity = {"mode": mode, "generations": str(size.generations)}
    opener = RunFolder.resume if (folder / "environment.json").exists() else RunFolder.create
    with opener(folder, "", identity) as run_folder:
        if address:
            import fake_executor
            import ray

            # Nodes need no copy of these two; they get them with the work.
            ray.cloudpickle.register_pickle_by_value(fake_executor)
            ray.cloudpickle.register_pickle_by_value(sys.modules["__main__"])
            options = ExecutorOptions(
                address=address, workers=size.nodes * CPUS, retries=1000, patience=60
            )
            executor = SleepyExecutor(PlainSetup(), None, options)
        else:
            executor = FakeExecutor()
        try:
            result = EvolutionRun(
                donors=[
                    random_donor("lite0", n, name=name, classes=None) for n, name in enumerate("ab")
                ],
                options=DonorOptions(siblings=0, align="never", absorb="never"),
                data_fingerprint="none",
                kind=KINDS[mode](population=size.population, generations=size.generations),
                granularity="block",
                finals=FinalsOptions(),
                fitness=FitnessOptions(epochs=1.0),
                seed=1,
                executor=executor,
                journal=run_folder.journal,
                folder=folder,
                watcher=QuietWatcher(),
            ).run()
        finally:
            executor.close()
        digest = write_magic_weights(folder / "magic.h5", result)
        run_folder.write_json("result.json", describe_result(result, "magic.h5", digest))


class Campaign:
    """One run under attack.

    Args:
        folder: Where run, cluster logs and the count of kills are kept.
        mode: "genetic" or "steady".
        size: Of run and cluster.
        kills: Their number, at least; or their kinds, in this order.
        seed: Of the attacks.
        pause: Seconds to wait after an answer, at most, before the next kill comes.
    """

    def __init__(
        self, folder: Path, mode: str, size: Size, kills: int | list[str], seed: int, pause: float
    ) -> None:
        from ray_nodes import LocalCluster

        self.folder, self.mode, self.size, self.pause = folder, mode, size, pause
        self.order = [] if isinstance(kills, int) else kills
        self.wanted = len(self.order) or kills
        self.run = folder / f"run_{mode}"
        self.log = folder / f"kills_{mode}.jsonl"
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.kills = Counter(json.loads(line)["kind"] for line in lines)
        self._began, self._killed_before = time.monotonic(), self.kills.total()
        self.random = random.Random(seed * 1_000_003 + len(lines))
        self._make_cluster = lambda: LocalCluster(
            Path(tempfile.mkdtemp(prefix="fc", dir="/tmp")), first=self.random.randrange(20, 120)
        )
        self.driver: subprocess.Popen | None = None
        self.restarts = self.ended_alone = 0
        self.was_idle = False

    @property
    def idle_kills(self) -> int:
        """Kills that came though no answer had come since the one before."""
        return sum(json.loads(line)["idle"] for line in self.log.open())

    def fight(self) -> None:
        """Attack until the run has ended."""
        self._start_cluster()
        try:
            self._start_driver()
            while not (self.run / "result.json").exists():
                self._wait_for_work()
                if self.driver.poll() is not None and not (self.run / "result.json").exists():
                    self.ended_alone += 1
                    if self.ended_alone > 30:
                        raise RuntimeError(f"drivers end by themselves; see {self.folder}")
                    self._start_driver()
                if self.kills.total() < self.wanted:
                    self._kill_something()
            self.driver.wait()
        finally:
            if self.driver is not None and self.driver.poll() is None:
                self.driver.kill()
            self.cluster.close()

    def _wait_for_work(self) -> None:
        """Wait for an answer since the last kill, though not for ever, and a moment more."""
        seen, end = _count(self.run), time.monotonic() + PATIENCE
        while _count(self.run) == seen and self.driver.poll() is None and time.monotonic() < end:
            time.sleep(0.2)
        self.was_idle = _count(self.run) == seen
        time.sleep(self.random.uniform(0.1, self.pause))

    def _start_cluster(self) -> None:
        self.cluster = self._make_cluster()
        self.cluster.start(0, 0)
        self.cluster.wait(0)
        # One after the other: nodes that start at once may wait for each other for ever.
        for number in range(1, self.size.nodes + 1):
            self.cluster.start(number, CPUS)
            self.cluster.wait(number)

    def _start_driver(self) -> None:
        command = [
            sys.executable, __file__, "--drive", str(self.run), "--mode", self.mode,
            "--address", self.cluster.address, *self._size_words,
        ]  # fmt: skip
        with (self.folder / f"driver_{self.mode}.log").open("ab") as log:
            self.driver = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.cluster.environment
            )
        self.restarts += 1

    @property
    def _size_words(self) -> list[str]:
        pairs = vars(self.size).items()
        return [word for name, value in pairs for word in (f"--{name}", str(value))]

    def _kill_something(self) -> None:
        kind = self.random.choices(list(SHARES), list(SHARES.values()))[0]
        if self.order:
            kind = self.order[self.kills.total()]
        if kind == "worker":
            workers = self.cluster.workers()
            if not workers:
                return
            self.random.choice(workers).kill()
        elif kind == "driver":
            if self.driver.poll() is not None:
                return
            self.driver.kill()
            self.driver.wait()
            self._start_driver()
        elif kind == "node":
            number = self.random.randrange(1, self.size.nodes + 1)
            self.cluster.kill(number)
            self.cluster.start(number, CPUS)
        else:
            self.cluster.close()
            self.driver.kill()
            self.driver.wait()
            self._start_cluster()
            self._start_driver()
        self.kills[kind] += 1
        with self.log.open("a") as log:
            entry = {"kind": kind, "time": round(time.time(), 1), "idle": self.was_idle}
            log.write(json.dumps(entry) + "\n")
        self._show()

    def _show(self) -> None:
        """Say how far it is: a line that is overwritten on a terminal, every tenth kill elsewhere."""
        kills = self.kills.total()
        each = (time.monotonic() - self._began) / (kills - self._killed_before)
        left = max(0, self.wanted - kills) * each / 60
        text = (
            f"{self.mode}: {kills} of {self.wanted} kills, {_count(self.run)} lines, about "
            f"{left:.0f} min left"
        )
        if sys.stderr.isatty():
            print(f"\r{text}", end="", file=sys.stderr)
        elif kills % 10 == 0:
            print(text, file=sys.stderr, flush=True)


def _count(run: Path) -> int:
    path = run / "evaluations.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def records(run: Path) -> list[dict]:
    """Return the journal without what may differ between equal runs."""
    found = [json.loads(line) for line in (run / "evaluations.jsonl").open()]
    for record in found:
        record.pop("timing", None)
    return found


def sha256(path: Path) -> str:
    """Return a file's digest."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def judge(campaign: Campaign, folder: Path) -> dict[str, object]:
    """Compare the attacked run with a calm one, or with its own replay."""
    found = records(campaign.run)
    evaluations = [record for record in found if "event" not in record]
    keys = [json.dumps([r["recipe"], r["seed"], r["parts"]]) for r in evaluations
            if r["phase"] in ("noise", "search")]  # fmt: skip
    timing = [json.loads(line)["timing"] for line in (campaign.run / "evaluations.jsonl").open()]
    answer = {
        "mode": campaign.mode,
        "kills": dict(campaign.kills),
        "kills before any answer since the last": campaign.idle_kills,
        "evaluations": len(evaluations),
        "asked again": sum(t.get("attempts", 1) > 1 for t in timing),
        "lost": len(evaluations) - 1 - max(r["index"] for r in evaluations),
        "double": len(keys) - len(set(keys)),
        "failed": sum(r["error"] is not None for r in evaluations),
    }
    calm = folder / f"calm_{campaign.mode}"
    # What an earlier attempt to judge left.
    shutil.rmtree(calm, ignore_errors=True)
    if campaign.mode == "genetic":
        drive(calm, campaign.mode, campaign.size, "")
        answer["journal equal"] = found == records(calm)
    else:
        calm.mkdir()
        for name in ("evaluations.jsonl", "environment.json", "config.toml"):
            (calm / name).write_bytes((campaign.run / name).read_bytes())
        drive(calm, campaign.mode, campaign.size, "")
        answer["journal equal"] = found == records(calm)
    answer["magic file equal"] = sha256(campaign.run / "magic.h5") == sha256(calm / "magic.h5")
    return answer


def main() -> None:
    """Run the campaign in both modes, or be a driver of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument(
        "--kills", nargs="+", default=["200"], help=f"per mode: a number, or kinds of {[*SHARES]}"
    )
    parser.add_argument("--pause", type=float, default=2.0, help="seconds before a kill, at most")
    parser.add_argument("--generations", type=int, default=60)
    parser.add_argument("--population", type=int, default=24)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", default=["genetic", "steady"])
    parser.add_argument("--folder", type=Path, help="goes on where a campaign there stopped")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = Size(args.generations, args.population, args.nodes)
    if args.drive:
        drive(args.drive, args.mode, size, args.address)
        return
    kills = int(args.kills[0]) if args.kills[0].isdigit() else args.kills
    folder = args.folder or Path(tempfile.mkdtemp(prefix="fault_campaign"))
    folder.mkdir(exist_ok=True)
    print(f"folder {folder}")
    for mode in args.kinds:
        verdict = folder / f"verdict_{mode}.json"
        if not verdict.exists():
            campaign = Campaign(folder, mode, size, kills, args.seed, args.pause)
            start = time.monotonic()
            campaign.fight()
            answer = judge(campaign, folder) | {"seconds": round(time.monotonic() - start)}
            verdict.write_text(json.dumps(answer, indent=1))
        print(f"\n{verdict.read_text()}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Stopped by SIGTERM too, it takes its cluster with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
