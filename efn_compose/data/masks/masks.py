"""Masks: which class each pixel of an image belongs to, and which pixels nobody is asked about."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from efn_compose.data.decoding.bands import room_for
from efn_compose.data.decoding.opening import read_image, upright
from efn_compose.data.table import ImageError, printable

if TYPE_CHECKING:
    from PIL import Image

#: Value of a mask's pixel that counts nowhere: its class is not known, or it lies outside the image.
IGNORED = 255


def decode_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the classes of a mask file's pixels.

    The file's own numbers are the classes: grey values, or the numbers of a palette. Nothing is
    scaled: `read_masks` says what a mask of 0 and 255 means. It is opened and turned upright as its
    image is.

    Args:
        path: An image of one channel, 8 bits or fewer, as PNG, TIFF or BMP hold it.

    Returns:
        (height, width) uint8.

    Raises:
        ImageError: Missing, damaged, too large, or not an image of one channel.

    Example:
        >>> decode_mask("lesion_mask.png").shape  # doctest: +SKIP
        (480, 640)
    """

    def read(image: "Image.Image") -> np.ndarray:
        if image.mode not in ("1", "L", "P"):
            raise ImageError(
                f"{printable(path)}: a mask has one channel of 8 bits or fewer, this image is {image.mode}"
            )
        with room_for(image):
            # Of mode 1, False and True.
            return np.asarray(upright(image)).astype(np.uint8)

    return read_image(path, path, read)


class MaskFiles:
    """Mask files as a sequence of masks, decoded when asked for.

    Args:
        paths: The files, None for an image without a mask: its mask is one pixel to ignore.
    """

    def __init__(self, paths: Sequence[Path | None]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> np.ndarray:
        path = self.paths[index]
        return np.full((1, 1), IGNORED, np.uint8) if path is None else decode_mask(path)
