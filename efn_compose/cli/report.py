"""`efn-compose report`: report page and model card of a run, drawn again from its folder.

Works on a finished, interrupted or still running run; changes nothing else.
"""

import argparse

from efn_compose.cli.output import Output

EXAMPLE = "efn-compose report runs/quickstart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("folder", help="run folder")


def run(options: argparse.Namespace, output: Output) -> None:
    """Draw both."""
    from efn_compose.analysis import write_card, write_report

    report, card = write_report(options.folder), write_card(options.folder)
    output.result({"report": str(report), "card": str(card)}, f"{report}\n{card}")
