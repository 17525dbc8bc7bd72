"""`efn-compose report`: draw a run's page, compare runs, follow or serve one."""

import argparse

from efn_compose.cli import report_command
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose report runs/quickstart --follow --serve"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    report_command.add_arguments(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Draw, compare, follow or serve."""
    return report_command.run(options)
