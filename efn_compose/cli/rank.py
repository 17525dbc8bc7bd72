"""`efn-compose rank`: find the donor that suits a data set, without training.

Predict labels from each donor's frozen features (nearest neighbours by cosine, LogME, H-score).
The table also has the cost: parameters, multiply-adds, activations, images per second.
"""

import argparse
from pathlib import Path

from efn_compose.cli.shared.arguments import SOURCES, add_seed
from efn_compose.cli.shared.images import add_table_arguments, read_table
from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError

EXAMPLE = "efn-compose rank lite0.h5 lite1.h5 --data fashion_mnist --size 64 --plot rank.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="weight files or package:NAME; any networks"
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="SOURCE",
        help=SOURCES,
    )
    add_table_arguments(parser)
    parser.add_argument("--size", type=int, default=64, help="pixels, default: %(default)s")
    parser.add_argument(
        "--image-count",
        type=int,
        default=500,
        help="images to draw at random, default: %(default)s",
    )
    add_seed(parser, "seed of the draw")
    parser.add_argument(
        "--plot", metavar="FILE", help="write score against cost as a picture (.png, .svg or .pdf)"
    )


def run(options: argparse.Namespace, output: Output) -> None:
    """Rank the donors, of any networks and any source, and print the table."""
    from efn_compose.analysis.plot_file import check_plot
    from efn_compose.analysis.rank import plot_rank, rank, rank_table
    from efn_compose.data.draw import any_images
    from efn_compose.data.holding import Holding
    from efn_compose.jobs.donor_entries import load_donors
    from efn_compose.store.atomic import atomic_path

    if options.size < 8 or options.image_count < 4:
        raise ConfigError(
            "--size must be 8 or more and --image-count 4 or more. "
            f"Received: {options.size}, {options.image_count}."
        )
    if options.plot:
        check_plot(options.plot)
    table = read_table(options.data, options, output)
    chosen = any_images(len(table), options.image_count, options.seed)
    images = Holding(copies=1).hold(
        table.images, chosen, options.size, table.name, not output.is_quiet
    )
    # One at a time, so that one is in memory; they may be of several networks, and names may repeat.
    donors = (load_donors([file])[0] for file in options.files)
    records = rank(donors, images, table.labels[chosen])
    if options.plot:
        path = Path(options.plot)
        with atomic_path(path) as partial:
            plot_rank(records).savefig(partial, format=path.suffix[1:], dpi=150)
    fields = {
        "data": table.name,
        "images": len(chosen),
        "size": options.size,
        "donors": [record.to_json() for record in records],
    }
    head = f"{len(chosen)} images of {table.name}, {options.size} px, nothing trained"
    output.result(fields, f"{head}\n{rank_table(records)}")
