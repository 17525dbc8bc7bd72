"""The journals of experiments: a line of JSON per measurement, appended as it is made.

Also the command line of an experiment that has seeds and a report, and nothing else.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def measured(journal: Path) -> list[dict[str, Any]]:
    """Return the measurements made so far; a line that a kill has torn is passed over.

    Args:
        journal: The file; a missing one holds none.
    """
    rows = []
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def run_seeds(
    about: str | None,
    run: Callable[[Sequence[int]], None],
    report: Callable[[list[dict[str, Any]]], str],
    journal: Path,
) -> None:
    """Run an experiment under the seeds of the command line, and print what its journal says.

    Args:
        about: The module's docstring; its first line is the help.
        run: Measures under some seeds; what the journal has is not measured again.
        report: From the journal's lines to the tables.
        journal: The file.
    """
    parser = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--report", action="store_true", help="only print the tables")
    chosen = parser.parse_args()
    if not chosen.report:
        run(chosen.seeds)
    print(report(measured(journal)))
