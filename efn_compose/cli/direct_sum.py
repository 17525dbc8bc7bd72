"""`efn-compose direct-sum`: put several networks side by side into a larger one.

Each network keeps its function. The classifier gives the weighted mean of their logits.
"""

import argparse

from efn_compose.arch import arch_spec
from efn_compose.cli.shared.images import add_image_arguments, read_images_if_asked
from efn_compose.cli.shared.nested_files import (
    add_placement,
    add_target,
    byte_count,
    placement,
    report_nested,
)
from efn_compose.cli.shared.output import Output
from efn_compose.nesting.progress import byte_progress
from efn_compose.nesting.to_file import direct_sum_to_file

EXAMPLE = "efn-compose direct-sum first_b0.h5 second_b0.h5 --into b7 -o b7.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("files", nargs="+", metavar="file", help="two or more weight files (.h5)")
    add_target(parser, "network with room for all: b7 holds two b0, l2 two b5")
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="share of each donor in the logits"
    )
    parser.add_argument(
        "--fill",
        default="he",
        choices=("he", "replicate", "zero"),
        help="start of new channels: random, copies, or dead (trains badly)",
    )
    add_placement(parser)
    parser.add_argument(
        "--head",
        default="keep",
        choices=("keep", "drop"),
        help="classifier: the mean of theirs, or none",
    )
    add_image_arguments(parser, "calibrate new channels and verify", count=64)


def run(options: argparse.Namespace, output: Output) -> None:
    """Write the sum, and verify where asked."""
    target = arch_spec(options.into)
    images, _ = read_images_if_asked(options, output)
    size = byte_count(target, options.dtype)
    with byte_progress(options.output, size, quiet=output.is_quiet) as progress:
        header = direct_sum_to_file(
            options.files,
            target,
            options.output,
            weights=options.weights,
            dtype=options.dtype,
            progress=progress,
            images=images,
            fill=options.fill,
            keep_head=options.head != "drop",
            **placement(options),
        )
    shares = options.weights or [1 / len(options.files)] * len(options.files)
    report_nested(options, output, header, options.files, shares, images)
