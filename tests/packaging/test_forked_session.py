"""The processes that run tests: each test once, and nothing that fails or dies unsaid."""

import subprocess
import sys

from repository import SUPPORT

CONFTEST = """
from forked_session import run_forked

def pytest_runtestloop(session):
    run_forked(session, 2, lambda nodeid: nodeid.partition("::")[0])
    return True
"""
#: Each file lasts longer than a process needs to begin, so that both processes get some.
FILES = {
    "test_good": """
import os, time, pytest
@pytest.fixture(scope="module")
def shared(): return []
@pytest.mark.parametrize("number", range(3))
def test_neighbours_share(shared, number, tmp_path):
    shared.append(os.getpid())
    time.sleep(0.1)
    assert len(shared) == number + 1 and len(set(shared)) == 1
def test_says(tmp_path): (tmp_path.parent / "ran").write_text("")
""",
    "test_bad": """
import os, warnings
def test_fails():
    print("what it printed")
    os.system("echo what its command printed")
    assert 1 == 2
def test_warns(): warnings.warn("take care")
""",
    "test_dies": """
import os, signal
def test_before(): pass
def test_dies(): os.kill(os.getpid(), signal.SIGKILL)
def test_behind(): pass
""",
    "test_later": "def test_passes(): pass",
}


def test_every_test_is_reported_once_whatever_becomes_of_its_process(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {SUPPORT}\n")
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-rA",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
    ]
    command += ["--basetemp", tmp_path / "temporary", *(f"{name}.py" for name in FILES)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = done.stdout
    assert done.returncode == 1, said + done.stderr
    lines = said.splitlines()
    passed = sorted(line.split()[1] for line in lines if line.startswith("PASSED"))
    failed = sorted(line.split()[1] for line in lines if line.startswith("FAILED"))
    assert passed == [
        "test_bad.py::test_warns",
        "test_dies.py::test_before",
        *(f"test_good.py::test_neighbours_share[{number}]" for number in range(3)),
        "test_good.py::test_says",
        "test_later.py::test_passes",
    ]
    # A test behind the one that died has not run, and nobody may believe that it passed.
    assert failed == [
        "test_bad.py::test_fails",
        "test_dies.py::test_behind",
        "test_dies.py::test_dies",
    ]
    assert "3 failed, 7 passed, 1 warning" in lines[-1]
    for text in (
        "assert 1 == 2",
        "what it printed",
        "what its command printed",
        "exit code -9",
        "take care",
    ):
        assert text in said, text
