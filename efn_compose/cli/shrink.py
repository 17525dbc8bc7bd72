"""`efn-compose shrink`: cut a network to a smaller one.

Keep the channels that matter most and refit the layers that read them. This is never exact:
fine-tune the result.
"""

import argparse

from efn_compose.cli import nesting_commands as commands
from efn_compose.cli.shared.images import add_image_arguments, image_reader
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose shrink b5.h5 --into b0 --images folder:photos -o b0.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    commands.add_shrink_arguments(parser)
    add_image_arguments(parser, "choose and refit channels on them", count=64)


def run(options: argparse.Namespace, output: Output) -> int:
    """Cut, and say how near the result is."""
    return commands.run_shrink(options, image_reader(options, is_quiet=output.is_quiet))
