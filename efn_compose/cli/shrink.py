"""`efn-compose shrink`: cut a network to a smaller one.

Keep the channels that matter most and refit the layers that read them. This is never exact:
fine-tune the result.
"""

import argparse
import dataclasses
from pathlib import Path

from efn_compose.cli.shared.images import add_image_arguments, read_images_if_asked
from efn_compose.cli.shared.nested_files import add_target, byte_count, describe_file
from efn_compose.cli.shared.output import Output
from efn_compose.donors import load_donor
from efn_compose.nesting.progress import byte_progress
from efn_compose.nesting.shrink import shrink
from efn_compose.nesting.to_file import refuse_same_file
from efn_compose.store import write_weights

EXAMPLE = "efn-compose shrink b5.h5 --into b0 --images folder:photos -o b0.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", help="weight file (.h5) of the large network")
    add_target(parser, "network to cut to")
    add_image_arguments(parser, "choose and refit channels on them", count=64)


def run(options: argparse.Namespace, output: Output) -> None:
    """Cut, and say how near the result is."""
    refuse_same_file(Path(options.file), options.output)
    images, _ = read_images_if_asked(options, output)
    small = shrink(load_donor(options.file), options.into, images=images)
    size = byte_count(small.spec, options.dtype)
    with byte_progress(options.output, size, quiet=output.is_quiet) as progress:
        header = dataclasses.replace(small.header, dtype=options.dtype)
        write_weights(options.output, header, small.all_tensors, progress=progress)
    fields, line = describe_file(options.output, header)
    agreement = small.provenance["steps"][-1]["agreement"]
    same_class, masks = agreement["same_top_class"], agreement.get("mask_correlation")
    lines = [
        line,
        f"  on {agreement['image_count']} {agreement['images']} images, compared with the "
        f"original: correlation of outputs {agreement['correlation']:.3f}"
        + (f", same top class on {100 * same_class:.0f} %" if same_class is not None else "")
        + (f", of masks {masks:.3f}" if masks is not None else ""),
        "  A cut network is never exact; fine-tune it before use.",
    ]
    output.result({**fields, "agreement": agreement}, "\n".join(lines))
