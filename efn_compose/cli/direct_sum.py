"""`efn-compose direct-sum`: several weight files side by side in a larger network's file.

Each computes what it computed alone; the classifier gives the weighted mean of their logits.
"""

import argparse

from efn_compose.cli.nest import add_nesting_arguments, nest_and_report
from efn_compose.cli.output import Output

EXAMPLE = "efn-compose direct-sum first_b0.h5 second_b0.h5 --into b7 -o b7.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="weight files, two or more")
    parser.add_argument(
        "--weights", nargs="+", type=float, metavar="W", help="share of each in the logits"
    )
    add_nesting_arguments(parser)


def run(options: argparse.Namespace, output: Output) -> int:
    """Write the sum, and verify where asked."""
    from efn_compose.nesting import direct_sum_to_file

    return nest_and_report(
        options.files, options, output, direct_sum_to_file, options.files, weights=options.weights
    )
