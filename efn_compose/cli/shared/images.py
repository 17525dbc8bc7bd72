"""Images that a verb needs, from the same sources as a run's."""

import argparse
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.cli.shared.output import Output
from efn_compose.errors import ConfigError

if TYPE_CHECKING:
    from efn_compose.data import ImageTable
    from efn_compose.numerics.pixel_array import PixelArray


def add_image_arguments(
    parser: argparse.ArgumentParser, what_for: str, *, count: int, is_required: bool = False
) -> None:
    """Declare `--images SOURCE`, `--image-count` and `--size`."""
    parser.add_argument(
        "--images",
        metavar="SOURCE",
        required=is_required,
        help="digits, fashion_mnist, KIND:PATH (folder, csv, npz, tfrecord, parquet, tar) or "
        f"FILE.npy; {what_for}",
    )
    parser.add_argument(
        "--image-count",
        type=int,
        default=count,
        help="images to draw at random, default: %(default)s",
    )
    parser.add_argument("--size", type=int, default=64, help="pixels, default: %(default)s")
    add_table_arguments(parser)


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--columns` and `--image-folder`."""
    parser.add_argument(
        "--columns",
        metavar="COLUMN=NAME",
        nargs="+",
        action=_Columns,
        default=[],
        help="names of a source's columns, such as image=isic_id label=target",
    )
    parser.add_argument(
        "--image-folder", metavar="FOLDER", default="", help="csv: where its image paths start"
    )


class _Columns(argparse.Action):
    """Takes pairs as words, and with commas between them as `--set` takes them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        # A comma in a column's name is none between two pairs.
        pairs = [pair for word in values or () for pair in re.split(r",(?=[a-z_]+=)", word)]
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *pairs])


def table_settings(options: argparse.Namespace) -> list[str]:
    """Return `--columns` and `--image-folder` as settings of `[data]`, as `--set` takes them."""
    given = []
    if options.columns:
        given.append(f"data.columns={json.dumps(options.columns, ensure_ascii=False)}")
    if options.image_folder:
        given.append(f"data.folder={json.dumps(options.image_folder, ensure_ascii=False)}")
    return given


def read_table(source: str, options: argparse.Namespace, output: Output) -> "ImageTable":
    """Return the images of a source as the options ask for; say what was passed over.

    Raises:
        DataError: The source cannot be used.
    """
    from efn_compose.data import load_table

    table = load_table(source, options.columns, options.image_folder)
    for words in table.notes:
        output.note(words)
    return table


def read_images(
    source: str, options: argparse.Namespace, output: Output
) -> tuple["PixelArray", np.ndarray | None]:
    """Return images (image, size, size, 3) uint8 and labels (image,), drawn as the options ask for.

    Images that would take more than half of the free memory are read from the cache.

    A plain `.npy` or `.npz` file is taken as it is, neither drawn from nor resized; its labels
    are None where it has none.

    Raises:
        ConfigError: `--image-count` or `--size` makes no sense.
        DataError: The source cannot be used.
    """
    from efn_compose.data.draw import any_images
    from efn_compose.data.holding import Holding
    from efn_compose.data.sources.array_file import read_image_array

    _check(options)
    if source.endswith((".npy", ".npz")) and ":" not in source:
        return read_image_array(source)
    table = read_table(source, options, output)
    chosen = any_images(len(table), options.image_count, getattr(options, "seed", 0))
    images = Holding(copies=1).hold(
        table.images, chosen, options.size, table.name, not output.is_quiet
    )
    return images, table.labels[chosen]


def read_images_if_asked(
    options: argparse.Namespace, output: Output
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return what `read_images` does for `--images`, in memory; None and None without it."""
    _check(options)
    if not options.images:
        return None, None
    images, labels = read_images(options.images, options, output)
    return images[:], labels


def _check(options: argparse.Namespace) -> None:
    if options.image_count < 2 or options.size < 8:
        raise ConfigError(
            "--image-count must be 2 or more and --size 8 or more. "
            f"Received: {options.image_count}, {options.size}."
        )
