"""Says where 16-bit grey images use a small part of their range, and so come out nearly black."""

from typing import TYPE_CHECKING

import numpy as np

from efn_compose.data.decoding.decode import ImageFiles
from efn_compose.data.decoding.opening import read_image
from efn_compose.data.table import ImageError, ImageSequence

if TYPE_CHECKING:
    from PIL import Image

#: Images that are looked at, from all parts of the source.
_LOOKED_AT = 16
#: Values below this have 12 bits or fewer, as cameras and scanners have them.
_DARK = 4096


def dark_note(images: ImageSequence) -> tuple[str, ...]:
    """Return a sentence where 16-bit grey files hold values of 12 bits or fewer; nothing is rescaled.

    How many bits a value has is written in no PNG, and one image's largest value says little. A guess would
    make images of one set incomparable, so people are told what to do. Of other files only headers are read.

    Args:
        images: Files are looked at; other images have 8 bits already.

    Example:
        >>> dark_note(np.zeros((1, 8, 8, 3), np.uint8))
        ()
    """
    if not isinstance(images, ImageFiles) or not len(images):
        return ()
    numbers = np.unique(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(int))
    largest: list[int] = []
    for number in numbers.tolist():
        path = images.paths[number]
        try:
            value = read_image(path, path, _largest_of_16_bits)
        except ImageError:
            continue  # named where all images are decoded
        if value >= _DARK:
            return ()
        largest += [value] if value >= 0 else []
    if not largest:
        return ()
    of = "in the one that was" if len(largest) == 1 else f"in the {len(largest)} that were"
    return (
        f"16-bit grey images are read as 0 to 65535 and come out nearly black: the largest value {of} "
        f"looked at is {max(largest)}. Where they have 12 bits, save them again with all values times "
        "16; their brightness is not guessed.",
    )


def _largest_of_16_bits(image: "Image.Image") -> int:
    """Return the largest value of an image of 16 or 32 bits, -1 of any other one."""
    if not image.mode.startswith("I"):
        return -1
    return int(np.asarray(image).max(initial=0))
