"""A worker with other code is found out, whichever file of the package differs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import efn_compose

ASK = "from efn_compose.evolve.workers.executors.worker_check import code_hash; print(code_hash())"


def _hash(root: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run(
        [sys.executable, "-c", ASK],
        capture_output=True, text=True, check=True, cwd=root, env=environment,
    )  # fmt: skip
    return found.stdout.strip()


@pytest.mark.slow
def test_a_changed_line_in_any_folder_is_other_code(tmp_path):
    package = Path(efn_compose.__file__).parent
    shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    hashes = [_hash(tmp_path)]
    for name in ("errors.py", "arch/specs.py", "evolve/workers/executor.py"):
        with (tmp_path / package.name / name).open("a") as file:
            file.write("# changed\n")
        hashes.append(_hash(tmp_path))
    assert len(set(hashes)) == len(hashes)
