"""The journal survives killed writers, torn lines and full disks; damage is named."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efn_compose.errors import RunError
from efn_compose.store.journal import Journal, read_journal, to_line

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(record=st.dictionaries(st.text(), JSON_VALUES, max_size=5))
def test_a_line_is_one_line_and_reads_back(record):
    line = to_line(record)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    back = json.loads(line)
    assert back == record
    assert list(back) == sorted(back)
    assert to_line(back) == line


@pytest.mark.parametrize(
    ("record", "where"),
    [
        ({"loss": float("nan")}, "record.loss is nan"),
        ({"a": {"b": [0, float("-inf")]}}, r"record.a.b\[1\] is -inf"),
        ({"a": {1: 2}}, "record.a has the key 1"),
        ({"a": {2}}, "record.a is a set"),
        ({"a": b"x"}, "record.a is a bytes"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path, record, where):
    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"good": 1})
    before = journal.path.read_bytes()
    with pytest.raises(RunError, match=where):
        journal.append(record)
    assert journal.path.read_bytes() == before
    assert journal.read() == [{"good": 1}]


def test_every_possible_tear_keeps_exactly_the_whole_lines(tmp_path):
    records = [{"n": n, "text": "é\n"} for n in range(3)]
    lines = [to_line(record) for record in records]
    whole = b"".join(lines)
    path = tmp_path / "j.jsonl"
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        expected_end = sum(len(line) for line in lines[:kept])
        contents = read_journal(path)
        assert path.stat().st_size == cut  # reading alone changes nothing
        assert list(contents.records) == records[:kept]
        assert contents.torn_bytes == cut - expected_end
        journal = Journal(path)
        assert journal.torn_bytes == cut - expected_end
        assert path.stat().st_size == expected_end
        journal.append({"after": True})
        journal.close()
        assert read_journal(path).records == (*records[:kept], {"after": True})


@pytest.mark.parametrize(
    "damage", [b"{", b"", b"[1]", b'{"a":NaN}', b"\x00" * 9, b"\xff", b"[" * 9999]
)
def test_a_damaged_middle_line_is_named_and_left(tmp_path, damage):
    path = tmp_path / "j.jsonl"
    content = b'{"a":1}\n{"a":2}\n' + damage + b'\n{"a":4}\n'
    path.write_bytes(content)
    for open_it in (read_journal, Journal):
        with pytest.raises(RunError, match=r"j\.jsonl: line 3 is damaged"):
            open_it(path)
    assert path.read_bytes() == content


def test_a_closed_journal_refuses(tmp_path):
    journal = Journal(tmp_path / "j.jsonl")
    journal.close()
    journal.close()
    with pytest.raises(RunError, match="closed"):
        journal.append({})


WRITER = """
import sys
from efn_compose.store.journal import Journal
journal = Journal(sys.argv[1])
print(len(journal), flush=True)
number = len(journal)
while True:
    journal.append({"n": number, "filler": "x" * (number * 7919 % 20000)})
    number += 1
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_again_and_again_loses_nothing_it_acknowledged(tmp_path):
    path = tmp_path / "j.jsonl"
    rng = random.Random(5)
    acknowledged = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert int(writer.stdout.readline()) >= acknowledged
            time.sleep(rng.uniform(0.005, 0.06))
            writer.send_signal(signal.SIGKILL)
            printed = [int(line) for line in writer.stdout if line.endswith("\n")]
        acknowledged = max([acknowledged, *printed])
        numbers = [record["n"] for record in read_journal(path).records]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= acknowledged
    assert acknowledged > 12


def run_until_full(path, environment_setup: str) -> str:
    """Append until the disk is full, in another process; return what it printed."""
    script = f"""
import sys
{environment_setup}
from efn_compose.errors import RunError
from efn_compose.store.journal import Journal
journal = Journal(sys.argv[1])
try:
    while True:
        journal.append({{"n": len(journal), "filler": "x" * 700}})
except RunError as error:
    print(len(journal), error)
"""
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    return result.stdout


def check_after_full(path, printed: str) -> None:
    count = int(printed.split()[0])
    assert "Free some space" in printed
    contents = read_journal(path)
    assert contents.torn_bytes == 0
    assert [record["n"] for record in contents.records] == list(range(count))
    assert count > 10


def test_a_file_size_limit_leaves_whole_lines(tmp_path):
    path = tmp_path / "j.jsonl"
    setup = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, {resource.RLIM_INFINITY}))"
    )
    check_after_full(path, run_until_full(path, setup))


def test_a_full_disk_leaves_whole_lines_and_room_lets_it_go_on(tmp_path):
    mounted = tmp_path / "small"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        ballast = mounted / "ballast"
        ballast.write_bytes(bytes(30_000))
        path = mounted / "j.jsonl"
        check_after_full(path, run_until_full(path, ""))
        count = len(read_journal(path).records)
        ballast.unlink()
        journal = Journal(path)
        journal.append({"n": count})
        journal.close()
        assert len(read_journal(path).records) == count + 1
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_signal_in_the_middle_of_a_line_waits_until_the_line_is_written(tmp_path, monkeypatch):
    from efn_compose.store import journal as module

    journal = Journal(tmp_path / "j.jsonl")
    journal.append({"n": 0})
    true_write, calls = os.pwrite, []

    def interrupted(descriptor, content, offset):
        calls.append(offset)
        if len(calls) == 1:
            true_write(descriptor, content[:3], offset)
            raise KeyboardInterrupt
        return true_write(descriptor, content, offset)

    monkeypatch.setattr(module.os, "pwrite", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal.append({"n": 1})
    assert journal.read() == [{"n": 0}, {"n": 1}]
    journal.append({"n": 2})
    assert [record["n"] for record in read_journal(journal.path).records] == [0, 1, 2]
    assert len(journal) == 3


@pytest.mark.slow
def test_reading_a_long_journal_needs_no_memory(tmp_path):
    """200 MB of journal through a process that may not have 200 MB more than at its start."""
    path = tmp_path / "j.jsonl"
    line = to_line({"filler": "x" * 20_000})
    path.write_bytes(line * 10_000)
    script = """
import resource, sys
from efn_compose.store.journal import Journal
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(len(record["filler"]) for record in Journal(sys.argv[1])))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    found = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(found[0]) == 200_000_000
    assert float(found[1]) < 20
