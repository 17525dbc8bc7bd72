"""`efn-compose nest`: put a network into a larger one.

At first the larger network computes the same function. One tensor is in memory at a time, so L3
(1.5 billion parameters) needs no large machine.
"""

import argparse

from efn_compose.cli import nesting_commands as commands
from efn_compose.cli.shared.images import add_image_arguments, image_reader
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose nest efn_magic_weights.h5 --into b5 -o b5.h5 --verify"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    commands.add_nest_arguments(parser)
    add_image_arguments(parser, "calibrate new channels, fit a head, verify", count=64)


def run(options: argparse.Namespace, output: Output) -> int:
    """Nest, and verify where asked."""
    return commands.run_nest(options, image_reader(options, is_quiet=output.is_quiet))
