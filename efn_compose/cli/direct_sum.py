"""`efn-compose direct-sum`: put several networks side by side into a larger one.

Each keeps its function. The classifier gives the weighted mean of their logits.
"""

import argparse

from efn_compose.cli import nesting_commands as commands
from efn_compose.cli.shared.images import add_image_arguments, image_reader
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose direct-sum first_b0.h5 second_b0.h5 --into b7 -o b7.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    commands.add_direct_sum_arguments(parser)
    add_image_arguments(parser, "calibrate new channels and verify", count=64)


def run(options: argparse.Namespace, output: Output) -> int:
    """Write the sum, and verify where asked."""
    return commands.run_direct_sum(options, image_reader(options, is_quiet=output.is_quiet))
