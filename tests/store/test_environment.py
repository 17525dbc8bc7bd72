"""How many cores a process may keep busy."""

import os
import subprocess
import sys

import pytest

from efn_compose.store.environment import cpu_quota


def test_cores_are_those_this_process_is_given():
    """One worker per core of the machine would crowd the one core of a batch job."""
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from efn_compose.store.environment import usable_cores; print(usable_cores())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout.strip() == "1"


# The kernel's own format: microseconds allowed in each period, or "max".
@pytest.mark.parametrize(
    ("content", "cores"),
    [("150000 100000", 1.5), ("max 100000", None), ("", None), ("nonsense", None)],
)
def test_a_containers_quota_is_read(tmp_path, content, cores):
    path = tmp_path / "cpu.max"
    path.write_text(content)
    assert cpu_quota(path) == cores
    assert cpu_quota(tmp_path / "missing") is None
