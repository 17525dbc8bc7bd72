"""`efn-compose absorb`: rewrite a donor's BatchNorm for your images; its function stays the same.

Training replaces the stored statistics of a checkpoint by those of each batch. If your images look
different from the checkpoint's, this alone undoes much of its knowledge. A rewritten donor keeps
its function, also when training begins. The last BatchNorm stays as it is unless --all is given, as
in searches and trainings. Give some hundred images, without labels, at the size of later trainings.
"""

import argparse

from efn_compose.cli.shared.arguments import add_output
from efn_compose.cli.shared.images import add_image_arguments, read_images
from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose absorb b0.pth --images folder:photos --size 128 -o b0_absorbed.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("file", metavar="FILE", help="a weight file or package:NAME")
    add_image_arguments(parser, "take their statistics", count=320, is_required=True)
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--all",
        dest="part",
        action="store_const",
        const="all",
        default="body",
        help="rewrite the last BatchNorm, too: for a classifier that stays; a fresh one may learn slowly",
    )
    # What happens anyway; scripts of 0.1.0 say so.
    part.add_argument(
        "--body", dest="part", action="store_const", const="body", help=argparse.SUPPRESS
    )
    add_output(parser, "the .h5 file to write", required=True)


def run(options: argparse.Namespace, output: Output) -> None:
    """Rewrite the donor and describe the written file."""
    from efn_compose.jobs.donor_entries import load_entry
    from efn_compose.statistics.absorb import absorb_statistics

    donor = load_entry(options.file)
    images, _ = read_images(options.images, options, output)
    absorb_statistics(donor, images, options.part).save(options.output)
    fields = {
        "file": str(options.output),
        "donor": donor.name,
        "images": len(images),
        "part": options.part,
    }
    kept = ", the last BatchNorm as it was" if options.part == "body" else ""
    words = f"{donor.name}, the statistics of {len(images)} images absorbed{kept}"
    output.result(fields, f"{options.output}: {words}")
