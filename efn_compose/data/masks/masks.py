"""Masks: which class each pixel of an image belongs to, and which pixels nobody is asked about."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.data.table import ImageError, printable

#: Value of a mask's pixel that counts nowhere: its class is not known, or it lies outside the image.
IGNORED = 255


def decode_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the classes of a mask file's pixels.

    The file's own numbers are the classes: grey values, or the numbers of a palette. Nothing is
    scaled: `read_masks` says what a mask of 0 and 255 means.

    Args:
        path: An image of one channel, 8 bits or fewer, as PNG, TIFF or BMP hold it.

    Returns:
        (height, width) uint8.

    Raises:
        ImageError: Missing, damaged, or not an image of one channel.

    Example:
        >>> decode_mask("lesion_mask.png").shape  # doctest: +SKIP
        (480, 640)
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = printable(path)
    try:
        with Image.open(path) as opened:
            mask = ImageOps.exif_transpose(opened)
            if mask.mode not in ("1", "L", "P"):
                raise ImageError(
                    f"{name}: a mask has one channel of 8 bits or fewer, this image is {mask.mode}"
                )
            # Of mode 1, False and True.
            return np.asarray(mask).astype(np.uint8)
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image that Pillow knows") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    # Pillow's decoders raise these for damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise ImageError(f"{name}: {error or type(error).__name__}") from None


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
