"""What becomes of damaged files: thousands, of every container that is read.

Command:   python experiments/mutations.py
Needs:     pip install -e .[parity]
Expected:  about ten minutes; writes experiments/results/mutations.md and, line by line, mutations.jsonl
           beside it, from which an interrupted run goes on
Result:    no exception that is not of efn_compose, no process that dies, no bloat; of containers with
           checksums no file that is read with other values

Half of all damage is one flipped bit; the rest are cleared, random, repeated and missing bytes, cut
ends, and numbers made huge (`tests/support/damage.py`). Each container is read in a process of its
own, so that a reader that dies is seen; that file is the last one it began. Damage is drawn from the
container's name and the file's number: the same each time.
"""

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "experiments" / "results" / "mutations.md"
sys.path.insert(0, str(ROOT / "tests" / "support"))
COUNT = 250
SECONDS = 20
#: Address space that a damaged file may ask for beyond the process at its start.
ALLOWED_BYTES = 2 << 30
GROWN_KB = 200_000


def read_one(container: str, number: int, path: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Damage one file, read it, mend it, and return what was seen."""
    from damage import mutate
    from tiny_containers import CONTAINERS, equal, files_of

    from efn_compose.errors import EfnComposeError

    _, read, has_checksums = CONTAINERS[container]
    chance = random.Random(f"{container} {number}")
    file = chance.choice(files_of(path))
    whole = file.read_bytes()
    kind, content = mutate(whole, chance)
    file.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, detail = time.monotonic(), ""
    try:
        found = read(path)
    except EfnComposeError:
        outcome = "refused"
    except BaseException:
        outcome, detail = "foreign exception", traceback.format_exc(limit=-1)
    else:
        outcome = "as written" if equal(found, expected) else "other values"
        if outcome == "other values" and not has_checksums:
            outcome = "other values, no checksums"
    finally:
        file.write_bytes(whole)
    return {
        "container": container,
        "number": number,
        "kind": kind,
        "outcome": outcome,
        "seconds": round(time.monotonic() - start, 3),
        "grown_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
        "detail": detail,
    }


def work(container: str, first: int, count: int) -> None:
    """Read files from `first` on; a line when one is begun, a line when it is done."""
    from tiny_containers import CONTAINERS

    warnings.simplefilter("ignore")
    make, read, _ = CONTAINERS[container]
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder))
        expected = read(path)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ALLOWED_BYTES, resource.RLIM_INFINITY))
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        for number in range(first, count):
            print(json.dumps({"begun": number}), flush=True)
            signal.alarm(SECONDS)
            seen = read_one(container, number, path, expected)
            signal.alarm(0)
            print(json.dumps(seen), flush=True)


def done_in(lines: Path) -> list[dict[str, Any]]:
    """Return what an earlier run has seen."""
    if not lines.exists():
        return []
    return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]


def attack(container: str, count: int, lines: Path) -> None:
    """Read the files of one container that are not read yet, in processes that may die."""
    done = sum(seen["container"] == container for seen in done_in(lines))
    while done < count:
        command = [
            sys.executable,
            __file__,
            "--worker",
            container,
            str(done),
            "--count",
            str(count),
        ]
        begun = done
        with (
            lines.open("a", encoding="utf-8") as out,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as process,
        ):
            for line in process.stdout or ():
                seen = json.loads(line)
                begun = seen.get("begun", begun)
                if "begun" not in seen:
                    out.write(line)
                    out.flush()
                    done = begun + 1
            if process.wait() and done <= begun < count:
                dead = {"container": container, "number": begun, "kind": "?", "outcome": "died"}
                print(json.dumps(dead | {"seconds": 0, "grown_kb": 0}), file=out)
                done = begun + 1


def report(seen: list[dict[str, Any]], count: int) -> tuple[str, bool]:
    """Return the page, and whether everything is as it should be."""
    from tiny_containers import CONTAINERS

    kinds = ("refused", "as written", "other values, no checksums")
    faults = ("other values", "foreign exception", "died")
    rows, bad = [], 0
    for container, (_, _, has_checksums) in CONTAINERS.items():
        own = [line for line in seen if line["container"] == container]
        counts = Counter(line["outcome"] for line in own)
        slow = sum(line["seconds"] >= SECONDS / 4 for line in own)
        bloat = sum(line["grown_kb"] > GROWN_KB for line in own)
        bad += sum(counts[fault] for fault in faults) + slow + bloat
        cells = [f"{counts[kind]}" for kind in (*kinds, *faults)]
        rows.append(
            f"| {container} | {'yes' if has_checksums else 'no'} | {len(own)} | "
            f"{' | '.join(cells)} | {slow} | {bloat} | {max(line['seconds'] for line in own):.2f} s |"
        )
    bits = [line for line in seen if line["kind"] == "flipped bit"]
    page = [
        "# Damaged files",
        "",
        f"Made by `python experiments/mutations.py`: {len(seen)} damaged files, {len(bits)} of them by one",
        f"flipped bit. {bad} are read other than they should be. Each container holds small tensors, as its",
        "own library writes it. `make test` does the same with fewer files. Damage to the values of a",
        "container without checksums cannot be seen by anybody.",
        "",
        "| container | checksums | files | refused | read as written | read with other values, which no "
        "checksum could tell | read with other values | foreign exception | process died | "
        f"over {SECONDS // 4} s | over {GROWN_KB // 1000} MB | slowest |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(page), bad == 0 and len(seen) == count * len(CONTAINERS)


def main() -> int:
    """Damage, read, write the page; return 0 if no file was read other than it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    parser.add_argument("--count", type=int, default=COUNT, help="damaged files per container")
    parser.add_argument("--worker", nargs=2, metavar=("CONTAINER", "FIRST"), help="used by itself")
    options = parser.parse_args()
    if options.worker:
        work(options.worker[0], int(options.worker[1]), options.count)
        return 0
    from tiny_containers import CONTAINERS

    lines = options.output.with_suffix(".jsonl")
    for container in CONTAINERS:
        attack(container, options.count, lines)
        print(container, file=sys.stderr)
    text, is_good = report(done_in(lines), options.count)
    options.output.write_text(text, encoding="utf-8")
    print(f"written: {options.output}", file=sys.stderr)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
