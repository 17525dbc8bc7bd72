"""Leaves out images that cannot be decoded, by choice and with a list."""

from dataclasses import dataclass, replace

import numpy as np

from efn_compose.data.cache.images import cached_images
from efn_compose.data.decoding.decode import LISTED_FAILURES, for_each_image
from efn_compose.data.holding import Holding
from efn_compose.data.table import UNLABELLED, ImageTable
from efn_compose.errors import DataError, first_of


@dataclass(frozen=True)
class Unreadable:
    """An image that was left out.

    Args:
        image: Its number in the table as it was.
        reason: File and reason.
    """

    image: int
    reason: str


def skip_unreadable(
    table: ImageTable,
    *,
    at_most: float = 0.01,
    size: int = 0,
    holding: Holding | None = None,
    needs_labels: bool = True,
    show_progress: bool = True,
) -> tuple[ImageTable, list[Unreadable]]:
    """Return a table without the images that cannot be decoded, and the list of those.

    Every image is decoded once; into the cache where the images will be read from there anyway.
    Without this, `take_data` refuses the whole table.

    Args:
        table: The images.
        at_most: Largest share of images that may be left out, 0 to 1; more than a few
            point to a wrong folder rather than to damage.
        size: Height and width that images will have.
        holding: Where they will be.
        needs_labels: Whether every class must keep an image.
        show_progress: Show a bar on a terminal when it takes more than two seconds.

    Raises:
        DataError: More than that share, all images, or all images of a class, cannot be decoded.

    Example:
        >>> from efn_compose.data import load_table
        >>> table, left_out = skip_unreadable(load_table("digits"))
        >>> len(table), left_out
        (1797, [])
    """
    every = np.arange(len(table))
    if holding is not None and holding.is_cached(len(table) * size * size * 3):
        cached = cached_images(
            table.images,
            every,
            size,
            source=table.name,
            show_progress=show_progress,
            tolerates=True,
            share_out=holding.share_out,
        )
        table, failures = replace(table, images=cached), cached.unreadable()
    else:
        failures = for_each_image(table.images, every, lambda place, pixels: None, show_progress)
    left_out = [Unreadable(number, reason) for number, reason in failures]
    if not left_out:
        return table, []
    kept = np.setdiff1d(np.arange(len(table)), [image.image for image in left_out])
    lines = (f"- {image.reason}" for image in left_out)
    listed = "\n".join(first_of(lines, LISTED_FAILURES))
    if len(left_out) > at_most * len(table):
        raise DataError(
            f"{table.name}: {len(left_out)} of {len(table)} images cannot be decoded; at most "
            f"{at_most:.1%} may be left out.\n{listed}"
        )
    if not len(kept):
        raise DataError(f"{table.name}: no image can be decoded.\n{listed}")
    lost = set(table.labels.tolist()) - set(table.labels[kept].tolist()) - {UNLABELLED}
    if lost and needs_labels:
        names = ", ".join(repr(table.class_names[label]) for label in sorted(lost))
        raise DataError(f"{table.name}: no image of {names} can be decoded.\n{listed}")
    return table.chosen(kept), left_out
