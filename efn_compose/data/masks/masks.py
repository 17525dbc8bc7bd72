"""Masks: which class each pixel of an image belongs to, and which pixels nobody is asked about."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.data.decoding.decode import for_each_image, undecodable
from efn_compose.data.table import ImageError, ImageSequence, printable

#: Value of a mask's pixel that counts nowhere: its class is not known, or it lies outside the image.
IGNORED = 255


def decode_mask(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the classes of a mask file's pixels.

    The file's own numbers are the classes: grey values, or the numbers of a palette. Nothing is
    scaled, so a mask of 0 and 255 is background and pixels to ignore; see `foreground`.

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


def foreground(mask: np.ndarray) -> np.ndarray:
    """Return 1 where a mask is brighter than half, 0 elsewhere: the classes of a black and white mask.

    Example:
        >>> foreground(np.array([[0, 255, 90]], np.uint8)).tolist()
        [[0, 1, 0]]
    """
    return (mask > 127).astype(np.uint8)


def resize_masks(
    masks: ImageSequence, indices: np.ndarray, size: int, show_progress: bool = True
) -> np.ndarray:
    """Decode some masks and bring them to one size; each pixel takes the nearest one's class.

    Args:
        masks: (height, width) uint8 by number.
        indices: Numbers of the wanted masks, in the wanted order.
        size: Height and width in pixels.
        show_progress: Show a bar on a terminal when it takes more than two seconds.

    Returns:
        (image, size, size) uint8.

    Raises:
        DataError: Some masks cannot be decoded; all of them are listed with reasons.

    Example:
        >>> resize_masks(np.eye(4, dtype=np.uint8)[None], np.arange(1), 2)[0].tolist()
        [[1, 0], [0, 1]]
    """
    from PIL import Image

    resized = np.empty((len(indices), size, size), np.uint8)

    def place(position: int, mask: np.ndarray) -> None:
        small = Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)
        resized[position] = np.asarray(small)

    failures = for_each_image(masks, indices, place, show_progress)
    if failures:
        raise undecodable(failures, len(indices))
    return resized
