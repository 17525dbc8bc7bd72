"""How many cores a process may keep busy."""

import os
import subprocess
import sys

import pytest

from efn_compose.store.environment import cpu_quota, free_memory


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


def test_free_memory_counts_what_a_container_may_take_and_pages_of_files_as_free(tmp_path):
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 5000 kB\n")
    nothing = tmp_path / "nothing"
    assert free_memory(machine, nothing) == 5000 * 1024
    assert free_memory(nothing, nothing) is None
    for name, text in (
        ("memory.max", "3000000\n"),
        ("memory.current", "2900000\n"),
        ("memory.stat", "anon 400000\nactive_file 500000\ninactive_file 2000000\n"),
    ):
        (tmp_path / name).write_text(text)
    # 3.0 MB, of which 0.4 MB are held by processes.
    assert free_memory(machine, tmp_path) == 2_600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(machine, tmp_path) == 5000 * 1024
