"""`efn-compose doctor`: check whether this machine can run a search.

Each line is good, a warning (something will be slow or missing) or a failure (nothing runs).
"""

import argparse

from efn_compose.cli.shared.output import Output
from efn_compose.jobs.doctor.examination import Examination, examine

EXAMPLE = "efn-compose doctor --json"

_MARKS = {"good": "ok  ", "warning": "warn", "failure": "FAIL"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the verb takes only the common arguments."""


def run(options: argparse.Namespace, output: Output) -> int:
    """Look at everything; the exit code is 1 where something fails."""
    found = examine()
    output.result(found.to_json(), "\n".join(_lines(found)))
    return 0 if found.is_ready else 1


def _lines(found: Examination) -> list[str]:
    width = max(len(check.name) for check in found.checks)
    lines = []
    for check in found.checks:
        lines.append(f"{_MARKS[check.status]}  {check.name:<{width}}  {check.found}")
        if check.advice:
            lines.append(f"{'':{width + 8}}→ {check.advice}")
    return lines
