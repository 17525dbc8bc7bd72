"""The masks of a table as class numbers of one size, checked against their images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.data.decoding.decode import for_each_image, undecodable
from efn_compose.data.masks.masks import IGNORED
from efn_compose.data.table import ImageTable, shape_of
from efn_compose.errors import DataError, describe_problems, first_of

#: Problems that a message lists.
_LISTED = 30
#: Numbers from here on are intensities or a picture, and no classes; nor are numbers of which more are
#: absent than present.
_MOST_CLASSES = 64


@dataclass(frozen=True, eq=False)
class ReadMasks:
    """Masks of one size.

    Args:
        masks: (image, size, size) uint8 class numbers, `IGNORED` (255) where unknown.
        names: One per class, the background first.
        note: A sentence about what the masks' values mean.
        foreground: (image,) share of each mask's pixels that are no background, at its own size.
    """

    masks: np.ndarray
    names: tuple[str, ...]
    note: str
    foreground: np.ndarray


def read_masks(table: ImageTable, size: int, show_progress: bool = True) -> ReadMasks:
    """Decode the masks of all images and bring them to one size.

    Masks whose values are 0 and 255 alone are black and white: 255 is class 1. In all other masks
    the values are classes from 0 (the background), and 255 is a pixel that counts nowhere. A class
    may have no pixel: a part of a large data set keeps the numbers of the whole.

    Args:
        table: Images with masks.
        size: Height and width in pixels.
        show_progress: Show a bar on a terminal when it takes more than two seconds.

    Raises:
        DataError: There are no masks, some cannot be decoded or have another size than their image,
            their values are no class numbers, or all are empty; everything is listed.

    Example:
        >>> images = np.zeros((2, 4, 4, 3), np.uint8)
        >>> masks = np.zeros((2, 4, 4), np.uint8)
        >>> masks[0, :2] = 255
        >>> from efn_compose.data.table import UNLABELLED
        >>> table = ImageTable(images, np.full(2, UNLABELLED), (), "two", masks=masks)
        >>> read_masks(table, 2).masks[0].tolist()
        [[1, 1], [0, 0]]
    """
    from PIL import Image

    if table.masks is None:
        raise DataError(
            f"{table.name}: it has no masks. Give data.masks a pattern such as "
            "'../masks/*_segmentation.png' (--masks), a csv a column 'mask', an npz file an array 'masks'."
        )
    resized = np.empty((len(table), size, size), np.uint8)
    counts = np.zeros((len(table), 256), np.int64)
    problems: dict[int, str] = {}

    def place(number: int, mask: np.ndarray) -> None:
        expected = shape_of(table.images, number)
        if mask.shape != expected:
            problems[number] = (
                f"- {table.image_name(number)}: the image has {_pixels(expected)}, "
                f"its mask {_pixels(mask.shape)}"
            )
        small = Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)
        resized[number] = np.asarray(small)
        counts[number] = np.bincount(mask.ravel(), minlength=256)

    failures = for_each_image(table.masks, np.arange(len(table)), place, show_progress)
    if failures:
        raise undecodable(failures, len(table), "masks")
    if problems:
        raise DataError(
            describe_problems(
                f"{table.name}: {len(problems)} masks have another size than their image.",
                first_of((problems[number] for number in sorted(problems)), _LISTED),
                "A mask has one pixel for each of its image. Scale masks to the nearest pixel.",
            )
        )
    values = np.flatnonzero(counts.sum(axis=0))
    if values.tolist() == [IGNORED]:
        raise DataError(
            f"{table.name}: all pixels of all {len(table)} masks are {IGNORED}, which counts nowhere. "
            "The background is 0, and classes are 1, 2, …; black and white masks have 0 and 255."
        )
    pixels = counts.sum(axis=1)
    if set(values.tolist()) == {0, IGNORED}:
        black_and_white = (resized == IGNORED).astype(np.uint8)
        note = "masks of 0 and 255 are black and white: 255 is class 1"
        share = counts[:, IGNORED] / pixels
        return ReadMasks(black_and_white, ("background", "foreground"), note, share)
    classes = values[values != IGNORED]
    _check_values(table, classes, counts)
    names = tuple(str(number) for number in range(int(classes.max()) + 1))
    if len(names) == 2:
        names = ("background", "foreground")
    note = f"masks of classes 0 to {len(names) - 1}"
    if absent := _absent(classes):
        note += f"; no pixel is of {', '.join(map(str, absent))}"
    if IGNORED in values:
        note += "; pixels of 255 count nowhere"
    return ReadMasks(resized, names, note, counts[:, 1:IGNORED].sum(axis=1) / pixels)


def _check_values(table: ImageTable, classes: np.ndarray, counts: np.ndarray) -> None:
    if not classes.size or classes.max() == 0:
        raise DataError(
            f"{table.name}: all {len(table)} masks are empty: there is nothing but background to learn."
        )
    if len(_absent(classes)) <= len(classes) and classes.max() < _MOST_CLASSES:
        return
    shown = ", ".join(map(str, classes[:12])) + (" …" if len(classes) > 12 else "")
    strange = np.flatnonzero(counts[:, [value for value in classes if value > 1]].any(axis=1))
    where = [f"- {table.image_name(int(number))}" for number in strange]
    raise DataError(
        describe_problems(
            f"{table.name}: the values of the masks are colours or intensities, not class numbers from "
            f"0 on: {shown}.",
            first_of(where, _LISTED),
            "Save masks as PNG with 0 for the background and 1, 2, … for classes, or as pure black and "
            "white (0 and 255). JPEG blurs borders into other values.",
        )
    )


def _absent(classes: np.ndarray) -> list[int]:
    """Return the numbers below the largest class that no pixel has."""
    return np.setdiff1d(np.arange(classes.max()), classes).tolist()


def _pixels(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"
