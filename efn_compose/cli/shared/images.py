"""Images that a verb needs, from the same sources as a run's."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    from efn_compose.data import ImageTable


def add_image_arguments(
    parser: argparse.ArgumentParser, what_for: str, *, count: int, is_required: bool = False
) -> None:
    """Declare `--images SOURCE`, `--image-count` and `--size`."""
    parser.add_argument(
        "--images",
        metavar="SOURCE",
        required=is_required,
        help=f"digits, fashion_mnist, folder:PATH, npz:PATH, csv:PATH or FILE.npy; {what_for}",
    )
    parser.add_argument(
        "--image-count", type=int, default=count, help="drawn at random, default: %(default)s"
    )
    parser.add_argument("--size", type=int, default=64, help="pixels, default: %(default)s")
    add_table_arguments(parser)


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--columns` and `--image-folder` of csv sources."""
    parser.add_argument(
        "--columns",
        metavar="COLUMN=NAME",
        nargs="+",
        default=[],
        help="csv: names of its columns, such as image=isic_id label=target",
    )
    parser.add_argument(
        "--image-folder", metavar="FOLDER", default="", help="csv: where its image paths start"
    )


def read_table(source: str, options: argparse.Namespace) -> "ImageTable":
    """Return the images of a source as the options ask for; say what was passed over.

    Raises:
        DataError: The source cannot be used.
    """
    from efn_compose.data import load_table

    table = load_table(source, options.columns, options.image_folder)
    for words in table.notes:
        sys.stderr.write(f"{words}\n")
    return table


def image_reader(
    options: argparse.Namespace, *, is_quiet: bool = False
) -> Callable[[str], tuple[np.ndarray, np.ndarray | None]]:
    """Return a function from a source's name to images and labels, as the options ask for.

    Images (image, size, size, 3) uint8; labels (image,) int32, None where there are none.
    A plain `.npy` or `.npz` file is taken as it is, neither drawn from nor resized.

    Raises:
        ConfigError: `--image-count` or `--size` makes no sense.
    """
    if options.image_count < 2 or options.size < 8:
        raise ConfigError(
            "--image-count must be 2 or more and --size 8 or more. "
            f"Received: {options.image_count}, {options.size}."
        )

    def read(source: str) -> tuple[np.ndarray, np.ndarray | None]:
        from efn_compose.cli.nesting_commands import read_image_array
        from efn_compose.data.decode import resize_images

        if source.endswith((".npy", ".npz")) and ":" not in source:
            return read_image_array(source)
        table = read_table(source, options)
        rng = np.random.default_rng(getattr(options, "seed", 0))
        chosen = np.sort(rng.permutation(len(table))[: options.image_count])
        images = resize_images(table.images, chosen, options.size, not is_quiet)
        return images, table.labels[chosen]

    return read
