"""`efn-compose nest`: put a network into a larger one.

Untrained, the larger network computes the same function as the small one. One tensor is in memory at a
time, so that L3 with its 1.5 billion parameters needs no large machine.
"""

import argparse
from pathlib import Path

import numpy as np

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
from efn_compose.donors import Donor, load_donor
from efn_compose.errors import ConfigError, DataError
from efn_compose.nesting.heads import ridge_head, widen_head
from efn_compose.nesting.progress import byte_progress
from efn_compose.nesting.to_file import nest_to_file, refuse_same_file

EXAMPLE = "efn-compose nest efn_magic_weights.h5 --into b5 -o b5.h5 --verify"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", help="weight file (.h5) of the small network")
    add_target(parser, "network to nest into: b7, l3, lite4, b-w1.3-d2.0")
    parser.add_argument(
        "--fill",
        default="he",
        choices=("he", "replicate", "zero", "donor"),
        help="start of new channels: random, copies, dead (trains badly), or a second donor",
    )
    parser.add_argument("--second", metavar="FILE", help="the second donor for --fill donor")
    add_placement(parser)
    parser.add_argument(
        "--head",
        default="keep",
        choices=("keep", "drop", "ridge"),
        help="classifier: as it is, none, or fitted in closed form on --images",
    )
    parser.add_argument(
        "--classes", type=int, metavar="N", help="widen the classifier to N classes"
    )
    add_image_arguments(parser, "calibrate new channels, fit a head, verify", count=64)


def run(options: argparse.Namespace, output: Output) -> None:
    """Nest, and verify where asked."""
    target = arch_spec(options.into)
    if options.head == "drop" and options.classes is not None:
        raise ConfigError(
            f"--classes {options.classes} widens the classifier that --head drop leaves out. Give one of "
            "the two."
        )
    images, labels = read_images_if_asked(options, output)
    source: str | Donor = options.file
    if options.head == "ridge" or options.classes is not None:
        refuse_same_file(Path(options.file), options.output)
        source = _with_new_head(options, images, labels)
    size = byte_count(target, options.dtype)
    with byte_progress(options.output, size, quiet=output.is_quiet) as progress:
        header = nest_to_file(
            source,
            target,
            options.output,
            dtype=options.dtype,
            progress=progress,
            images=images,
            second_file=options.second,
            fill=options.fill,
            keep_head=options.head != "drop",
            **placement(options),
        )
    sources = [source, options.second] if options.second else [source]
    shares = [1.0, 0.0] if options.second else [1.0]
    report_nested(options, output, header, sources, shares, images)


def _with_new_head(
    options: argparse.Namespace, images: np.ndarray | None, labels: np.ndarray | None
) -> Donor:
    donor = load_donor(options.file)
    if options.head != "ridge":
        return widen_head(donor, options.classes)
    if images is None or labels is None:
        raise DataError("--head ridge needs --images FILE.npz with 'images' and 'labels'.")
    return ridge_head(donor, images, labels, classes=options.classes)
