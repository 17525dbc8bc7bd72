"""Images that a verb needs, from the same sources as a run's."""

import argparse

import numpy as np

from efn_compose.errors import ConfigError


def add_image_arguments(
    parser: argparse.ArgumentParser, what_for: str, *, count: int, is_required: bool = False
) -> None:
    """Declare `--images SOURCE`, `--image-count` and `--size`."""
    parser.add_argument(
        "--images",
        metavar="SOURCE",
        required=is_required,
        help=f"digits, fashion_mnist, folder:PATH, npz:PATH or csv:PATH; {what_for}",
    )
    parser.add_argument("--image-count", type=int, default=count, help="default: %(default)s")
    parser.add_argument("--size", type=int, default=64, help="pixels, default: %(default)s")


def read_images(
    source: str, count: int, size: int, *, seed: int = 0, show_progress: bool = True
) -> np.ndarray:
    """Return some images of a source, drawn at random.

    Args:
        source: As in `data.source`.
        count: Number of images; all where there are fewer.
        size: Height and width in pixels.
        seed: Decides which.
        show_progress: Show a bar on a terminal when it takes long.

    Returns:
        (image, size, size, 3) uint8.

    Example:
        >>> read_images("digits", 5, 32).shape
        (5, 32, 32, 3)
    """
    from efn_compose.data import load_table
    from efn_compose.data.decode import resize_images

    if count < 2 or size < 8:
        raise ConfigError(
            f"--image-count must be 2 or more and --size 8 or more. Received: {count}, {size}."
        )
    table = load_table(source)
    chosen = np.random.default_rng(seed).permutation(len(table))[:count]
    return resize_images(table.images, np.sort(chosen), size, show_progress)
