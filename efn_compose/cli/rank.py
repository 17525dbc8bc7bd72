"""`efn-compose rank`: which donor suits a data set, without training.

Reads labels from each donor's frozen features (nearest neighbours by cosine, LogME,
H-score) and puts cost beside it: parameters, multiply-adds, activations, images per second.
"""

import argparse

from efn_compose.cli import rank_command
from efn_compose.cli.shared.output import Output

EXAMPLE = rank_command.EXAMPLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    rank_command.add_arguments(parser)


def run(options: argparse.Namespace, output: Output) -> None:
    """Rank the donors, of any networks and any source."""
    from efn_compose.jobs.search.preparation import load_donors

    # One at a time: ranking does not need donors of one network, and names may repeat.
    rank_command.run(options, output, load=lambda file: load_donors([file])[0])
