"""Several real Ray nodes: nodes join, die, and a run under attack ends like a calm one."""

import json
import os
import subprocess
import sys
import tempfile

import psutil
import pytest
from repository import ROOT

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

#: In a process of its own: a process has one Ray token for its life.
DRIVER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, "tests/support")
from ray_nodes import LocalCluster
cluster = LocalCluster(Path(sys.argv[1]), first=130)
os.environ.update(cluster.environment)
import nano_tasks, ray
from nano_tasks import Answer, PlainSetup
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.executors.ray_executor import RayExecutor
ray.cloudpickle.register_pickle_by_value(nano_tasks)

import glob, socket, warnings
import numpy as np
from PIL import Image
from efn_compose.data.cache.images import CacheFile, cached_images
from efn_compose.data.decoding.decode import ImageFiles, resize_images

place = Path(sys.argv[2]).parent
caches = [str(place / f"cache{n}") for n in range(3)]
os.environ["EFN_COMPOSE_CACHE"] = caches[0]

# Files of a shared folder, which node 2 does not see; each reading leaves a line.
class SharedFiles(ImageFiles):
    def _is_here(self):
        return os.environ["EFN_COMPOSE_CACHE"] != caches[2]
    def identities(self, numbers):
        yield from super().identities(numbers) if self._is_here() else (b"" for _ in numbers)
    def resized(self, index, size):
        assert self._is_here()
        node = os.environ["EFN_COMPOSE_CACHE"]
        with open(place / "decoded", "a") as lines:
            lines.write(f"{node} {index}\\n")
        time.sleep(0.02)
        return super().resized(index, size)

def fill_three_caches():
    rng = np.random.default_rng(0)
    for number in range(36):
        pixels = rng.integers(0, 256, (9, 20, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    (place / "05.png").write_bytes(b"no image")
    files = SharedFiles(sorted(place.glob("*.png")))
    every = np.arange(36)
    share_out = ExecutorOptions(kind="ray", address=cluster.address).holding.share_out
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = cached_images(files, every, 8, share_out=share_out, tolerates=True)
    (warning,) = [str(one.message) for one in said if "decode" in str(one.message)]
    assert "are not there, or are others than where the run began" in warning, warning
    decoded = [line.split() for line in open(place / "decoded")]
    assert sorted(int(number) for _, number in decoded) == list(range(36)), decoded
    assert {node for node, _ in decoded} == set(caches[:2]), "each decoded a share"
    whole = np.setdiff1d(every, 5)
    truth = resize_images(ImageFiles(files.paths), whole, 8)
    for cache in caches:
        (path,) = glob.glob(cache + "/*.images")
        here = CacheFile(Path(path), Path(path).stem)
        assert np.array_equal(here.read(whole), truth)
        assert here.unreadable.tolist() == [5]
    assert [number for number, _ in found.unreadable()] == [5]

try:
    cluster.start(0, 0, EFN_COMPOSE_CACHE=caches[0]); cluster.wait(0)
    cluster.start(1, 1, EFN_COMPOSE_CACHE=caches[1]); cluster.wait(1)
    executor = RayExecutor(PlainSetup(), None, ExecutorOptions(address=cluster.address))
    assert executor.workers == 1

    cluster.start(2, 1, EFN_COMPOSE_CACHE=caches[2])
    seen = set()
    def until_two():
        end = time.monotonic() + 60
        while len(seen) < 2 and time.monotonic() < end:
            yield Answer(0.1)
    for _, outcome in executor.run(until_two()):
        assert outcome.error is None
        seen.add(outcome.value)
    assert len(seen) == 2, "the node that joined was used"

    fill_three_caches()

    answers = {}
    for position, outcome in executor.run([Answer(0.1)] * 20):
        answers[position] = outcome
        if len(answers) == 5:
            cluster.kill(2)
    assert sorted(answers) == list(range(20))
    assert all(outcome.error is None for outcome in answers.values())
    executor.close()
    Path(sys.argv[2]).write_text("done")
finally:
    cluster.close()
"""


def _run(command, folder):
    """Run a command for three minutes at most; return its exit code and the end of what it said."""
    # Into a file: nodes that outlive a command that hangs would hold a pipe open for ever.
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=ROOT, env=ENVIRONMENT)
        try:
            code = process.wait(180)
        except subprocess.TimeoutExpired:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()
            code = process.wait()
    return code, (folder / "said").read_text(errors="replace")[-3000:]


def test_nodes_join_and_die_and_fill_their_caches_together(tmp_path):
    # Its own word, not its output: there Ray may say that the node we killed is gone.
    word = tmp_path / "word"
    # Not pytest's folder: the names of Ray's sockets must stay short.
    with tempfile.TemporaryDirectory(prefix="rn", dir="/tmp") as folder:
        code, said = _run([sys.executable, "-c", DRIVER, folder, str(word)], tmp_path)
    assert code == 0, said
    assert word.read_text() == "done"


def test_a_run_under_attack_ends_like_a_calm_one(tmp_path):
    command = [
        sys.executable, "experiments/fault_campaign.py", "--kills", "worker", "driver", "node",
        "--nodes", "2", "--generations", "2", "--population", "12", "--pause", "0.5",
        "--kinds", "genetic", "--folder", str(tmp_path / "campaign"),
    ]  # fmt: skip
    code, said = _run(command, tmp_path)
    assert code == 0, said
    verdict = json.loads((tmp_path / "campaign" / "verdict_genetic.json").read_text())
    assert verdict["journal equal"]
    assert verdict["magic file equal"]
    assert (verdict["lost"], verdict["double"], verdict["failed"]) == (0, 0, 0)
    assert verdict["kills"] == {"worker": 1, "driver": 1, "node": 1}
