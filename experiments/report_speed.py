"""How long a report takes to draw, and how large it is, by the length of the journal.

Command: python experiments/report_speed.py -o experiments/results/report.md
Journals are made up by the tests' generator (every field of a real one, true fitness known). Each
page is drawn in a process of its own, as `efn-compose report` does; imports are timed apart.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Evaluations wanted -> generations and population that make about so many.
SIZES = {182: (6, 16), 1_000: (22, 40), 10_000: (180, 56), 50_000: (480, 105)}
GOAL_SECONDS, GOAL_BYTES = 20.0, 2_000_000

DRAW = """
import json, resource, sys, time
start = time.perf_counter()
from efn_compose.analysis import write_report
imported = time.perf_counter()
path = write_report(sys.argv[1])
drawn = time.perf_counter()
print(json.dumps({
    "imports": imported - start, "drawing": drawn - imported, "bytes": path.stat().st_size,
    "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[182, 1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as place:
            folder, evaluations = make_up(size, Path(place) / "run")
            found = [draw(folder) for _ in range(options.repeats)]
            journal = (folder / "evaluations.jsonl").stat().st_size
        rows.append((evaluations, journal, found))
        print(
            f"{evaluations:,} evaluations: {min(one['drawing'] for one in found):.2f} s", flush=True
        )
    text = table(rows, options.repeats, options.sizes)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


def make_up(size: int, folder: Path) -> tuple[Path, int]:
    """Write a finished run of about so many evaluations; return its folder and their number."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from report_runs import MadeUpRun

    generations, population = SIZES[size]
    made = MadeUpRun(generations=generations, population=population, workers=8)
    made.search().finals().write(folder)
    return folder, len(made.records)


def draw(folder: Path) -> dict[str, float]:
    """Draw the page in a process of its own and return what it took."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", DRAW, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(answer.stdout)


def table(rows: list, repeats: int, sizes: list[int]) -> str:
    """Return the page of results."""
    words = " ".join(str(size) for size in sizes)
    lines = [
        "# Drawing a report",
        "",
        f"Command: `python experiments/report_speed.py --sizes {words} --repeats {repeats} -o "
        "experiments/results/report.md`",
        "",
        f"Made-up journals, eight workers, Lite1 with six donors. Wall seconds, the median of {repeats} "
        f"draws and their range; load of the machine's {os.cpu_count()} cores when finished: "
        f"{os.getloadavg()[0]:.1f}. Goal for 10,000 evaluations: under {GOAL_SECONDS:.0f} s and under "
        f"{GOAL_BYTES / 1e6:.0f} MB.",
        "",
        "| evaluations | journal | drawing | imports | page | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for evaluations, journal, found in rows:
        drawing = sorted(one["drawing"] for one in found)
        imports = sorted(one["imports"] for one in found)[len(found) // 2]
        lines.append(
            f"| {evaluations:,} | {journal / 1e6:.1f} MB | {drawing[len(drawing) // 2]:.2f} s "
            f"({drawing[0]:.2f} to {drawing[-1]:.2f}) | {imports:.2f} s | "
            f"{found[0]['bytes'] / 1e6:.2f} MB | {max(one['memory_mb'] for one in found):.0f} MB |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
