"""Run folders: one owner, no accidental overwriting, resumption only of the same run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from efn_compose.errors import ResumeMismatchError, RunError, RunLockedError
from efn_compose.store import atomic
from efn_compose.store.lock import FolderLock
from efn_compose.store.run_folder import RunFolder

CONFIG = "[search]\npopulation = 12\n"
IDENTITY = {"config": "a" * 64, "data": "b" * 64, "donors": "c" * 64}


def snapshot(folder) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_create_writes_config_environment_and_journal(tmp_path):
    path = tmp_path / "runs" / "first"
    with RunFolder.create(path, CONFIG, IDENTITY) as run:
        run.journal.append({"n": 0})
        run.write_json("result.json", {"é": [1.5, None]})
        assert run.is_finished
    assert tomllib.loads((path / "config.toml").read_text()) == {"search": {"population": 12}}
    environment = json.loads((path / "environment.json").read_text())
    assert environment["identity"] == IDENTITY
    assert environment["packages"]["numpy"] == version("numpy")
    assert json.loads((path / "result.json").read_text()) == {"é": [1.5, None]}
    assert (path / "evaluations.jsonl").read_bytes() == b'{"n":0}\n'
    assert not list(path.glob("*.partial")) + list(path.glob(".*.partial"))


def test_creating_over_a_run_says_resume_and_touches_nothing(tmp_path):
    path = tmp_path / "run"
    with RunFolder.create(path, CONFIG, IDENTITY) as run:
        for number in range(3):
            run.journal.append({"n": number})
    before = snapshot(path)
    with pytest.raises(RunError, match=r"3 lines in its journal.*--resume.*run\.path"):
        RunFolder.create(path, CONFIG, IDENTITY)
    assert snapshot(path) == before


def test_resume_goes_on_where_the_journal_ends(tmp_path):
    path = tmp_path / "run"
    with RunFolder.create(path, CONFIG, IDENTITY) as run:
        run.journal.append({"n": 0})
    with open(path / "evaluations.jsonl", "ab") as file:
        file.write(b'{"n":1,"lo')
    gone = subprocess.Popen(["true"])
    gone.wait()
    (path / "trainings" / "b0").mkdir(parents=True)
    left = path / "trainings" / "b0" / f".last.h5.{gone.pid}.partial"
    written = path / f".report.html.{os.getppid()}.partial"
    for leftover in (left, written, path / f".card.md.{os.getpid()}.partial"):
        leftover.write_bytes(b"half")
    (path / ".mine.partial").write_bytes(b"of somebody else's program")
    with RunFolder.resume(path, CONFIG, IDENTITY) as run:
        assert run.journal.torn_bytes == 10
        assert run.journal.read() == [{"n": 0}]
        run.journal.append({"n": 1})
    assert (path / "evaluations.jsonl").read_bytes() == b'{"n":0}\n{"n":1}\n'
    # What a process that still runs is writing stays.
    assert set(path.rglob(".*.partial")) == {written, path / ".mine.partial"}


def test_what_killed_writes_of_one_file_left_goes_without_the_others(tmp_path):
    names = [f".{name}.{os.getpid()}.partial" for name in ("a[1].efn", "a1.efn", "b.efn")]
    for name in names:
        (tmp_path / name).touch()
    atomic.remove_partial_files(tmp_path, "a[1].efn")
    assert sorted(path.name for path in tmp_path.iterdir()) == names[1:]


def test_resume_lists_every_difference_and_changes_nothing(tmp_path):
    path = tmp_path / "run"
    RunFolder.create(path, CONFIG, IDENTITY).close()
    before = snapshot(path)
    other = {"config": "d" * 64, "data": "b" * 64, "rules": "e" * 64}
    with pytest.raises(ResumeMismatchError) as caught:
        RunFolder.resume(path, "[run]\npath = 'moved'\n[search]\npopulation = 40\n", other)
    message = str(caught.value)
    assert "config: the run has aaaaaaaaaaaa…, now dddddddddddd…" in message
    assert "donors: the run has cccccccccccc…, now none" in message
    assert "rules: the run has none, now eeeeeeeeeeee…" in message
    assert "search.population: the run has 12, now 40" in message
    assert "data" not in message and "run.path:" not in message
    assert f"efn-compose evolve {path}/config.toml -o {path} --resume. To start anew" in message
    after = snapshot(path)
    assert {name: content for name, (content, _) in after.items()} == {
        name: content for name, (content, _) in before.items()
    }


def test_settings_that_may_differ_are_no_reason_to_refuse(tmp_path):
    """What Ray's failure advises, `--set executor.kind=serial`, must not look like the culprit."""
    path = tmp_path / "run"
    RunFolder.create(path, CONFIG + "[executor]\nkind = 'auto'\n", IDENTITY).close()
    now = CONFIG.replace("12", "40") + "[executor]\nkind = 'serial'\n"
    with pytest.raises(ResumeMismatchError) as caught:
        RunFolder.resume(path, now, IDENTITY | {"config": "d" * 64}, free=("run", "executor"))
    assert "≠ search.population: the run has 12, now 40" in str(caught.value)
    assert "executor" not in str(caught.value)


def test_nothing_to_resume(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RunError, match=r"no run to resume.*without --resume"):
            RunFolder.resume(path, CONFIG, IDENTITY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_environment_is_named(tmp_path, content):
    path = tmp_path / "run"
    RunFolder.create(path, CONFIG, IDENTITY).close()
    (path / "environment.json").write_text(content)
    with pytest.raises(RunError, match=r"environment\.json: damaged"):
        RunFolder.resume(path, CONFIG, IDENTITY)


def test_a_folder_with_foreign_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match=r"not empty and not a run.*thesis\.tex"):
        RunFolder.create(tmp_path, CONFIG, IDENTITY)
    with pytest.raises(RunError, match="a file, not a folder"):
        RunFolder.create(tmp_path / "thesis.tex", CONFIG, IDENTITY)
    with pytest.raises(RunError, match="cannot be created"):
        RunFolder.create(tmp_path / "thesis.tex" / "run", CONFIG, IDENTITY)
    assert snapshot(tmp_path) == before


HOLDER = """
import sys, time
from efn_compose.store.run_folder import RunFolder
run = RunFolder.create(sys.argv[1], "", {})
print("held", flush=True)
time.sleep(60)
"""


def test_a_run_in_use_names_its_process_and_a_killed_one_frees_it(tmp_path):
    path = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError) as caught:
            RunFolder.resume(path, "", {})
        assert f"process {holder.pid} on {os.uname().nodename} since 20" in str(caught.value)
        holder.send_signal(signal.SIGKILL)
    # The lock file still names the dead process, and locks nothing.
    assert str(holder.pid) in (path / "lock").read_text()
    RunFolder.resume(path, "", {}).close()


def test_a_child_process_does_not_keep_the_lock(tmp_path):
    with FolderLock(tmp_path / "lock"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        FolderLock(tmp_path / "lock").release()
    finally:
        child.communicate(b"\n")


@pytest.mark.parametrize("existed", [False, True])
def test_a_failed_start_leaves_nothing(tmp_path, monkeypatch, existed):
    """The disk fills while the last file of a new run is written."""
    path = tmp_path / "runs" / "deep" / "run"
    if existed:
        path.mkdir(parents=True)
    real = os.replace

    def replace(source, target):
        if str(target).endswith("environment.json"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(atomic.os, "replace", replace)
    with pytest.raises(RunError, match="disk is full"):
        RunFolder.create(path, CONFIG, IDENTITY)
    monkeypatch.undo()
    if existed:
        assert [file.name for file in path.iterdir()] in ([], ["lock"])
        RunFolder.create(path, CONFIG, IDENTITY).close()
    else:
        assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_read_only_is_said_of_the_file_that_was_asked_for(tmp_path, monkeypatch):
    """Linux refuses to remove there even what is not there."""

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(RunError, match=r"/card\.md: no permission to write there"):
        atomic.write_text(tmp_path / "card.md", "words")


def test_a_start_killed_at_any_file_can_be_started_again(tmp_path):
    """Whatever prefix of the files of a start exists, the next start succeeds."""
    names = ["lock", ".config.toml.9.partial", "config.toml", "evaluations.jsonl"]
    for count in range(len(names) + 1):
        path = tmp_path / str(count)
        path.mkdir()
        for name in names[:count]:
            (path / name).write_text("" if name in ("lock", "evaluations.jsonl") else "half")
        with RunFolder.create(path, CONFIG, IDENTITY):
            assert (path / "config.toml").read_text() == CONFIG
        assert not list(path.glob(".*.partial"))


def test_no_write_permission_is_said(tmp_path):
    """As another user where the tests run as root, whom nothing is forbidden."""
    script = """
import os, sys
from efn_compose.errors import RunError
from efn_compose.store.run_folder import RunFolder
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
for path in sys.argv[1:]:
    try:
        RunFolder.create(path, "", {})
    except RunError as error:
        print(error)
"""
    # Not below tmp_path, whose parents other users may not even enter.
    root = Path(tempfile.mkdtemp())
    try:
        (root / "empty").mkdir(mode=0o555)
        (root / "closed").mkdir(mode=0o000)
        root.chmod(0o555)
        paths = [str(root / name) for name in ("new", "empty", "closed/run")]
        result = subprocess.run(
            [sys.executable, "-c", script, *paths], capture_output=True, text=True, check=True
        )
        said = result.stdout.splitlines()
        assert len(said) == 3
        for path, line in zip(paths, said, strict=True):
            assert line.startswith(path)
            assert "Permission denied" in line
        root.chmod(0o755)
        assert sorted(path.name for path in root.iterdir()) == ["closed", "empty"]
        assert not list((root / "empty").iterdir())
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object()])
def test_write_json_refuses_what_is_not_json_and_keeps_the_old_file(tmp_path, value):
    with RunFolder.create(tmp_path / "run", CONFIG, IDENTITY) as run:
        run.write_json("result.json", {"fine": 1})
        with pytest.raises(RunError, match="Not a JSON value"):
            run.write_json("result.json", {"bad": value})
        assert json.loads((run.path / "result.json").read_text()) == {"fine": 1}
