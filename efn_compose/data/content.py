"""What some images of a set show, so that other images under the same names are noticed."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from efn_compose.data.table import ImageError, ImageSequence
from efn_compose.errors import DataError
from efn_compose.store.atomic import write_text

#: The file beside a fold table.
CONTENT_FILE = "content.json"
#: Images that are decoded for it: enough to notice another set, few enough to be quick.
_SAMPLED = 64


def content_digests(images: ImageSequence) -> dict[int, str]:
    """Return size and SHA-256 of the pixels of 64 images from all parts of a set, by number.

    Pixels are those of the source, at their own size. Images that cannot be decoded have no digest.

    Args:
        images: RGB uint8 images by number.

    Example:
        >>> found = content_digests(np.zeros((2, 4, 6, 3), np.uint8))
        >>> list(found), found[0] == found[1], found[0].split()[0]
        ([0, 1], True, '4x6')
    """
    found = {}
    for number in np.unique(np.linspace(0, len(images) - 1, _SAMPLED).astype(int)).tolist():
        if number < 0:
            break  # there is none
        try:
            pixels = np.ascontiguousarray(_in_source(images, number))
        except ImageError:
            continue
        height, width = pixels.shape[:2]
        found[number] = f"{height}x{width} {hashlib.sha256(pixels.data).hexdigest()[:16]}"
    return found


def differing(one: Mapping[int, str], other: Mapping[int, str]) -> list[int]:
    """Return the numbers of images whose digests are known on both sides and are not equal.

    Example:
        >>> differing({0: "a", 5: "b", 9: "c"}, {0: "a", 5: "x"})
        [5]
    """
    return sorted(number for number in one.keys() & other.keys() if one[number] != other[number])


def write_content(images: ImageSequence, path: str | os.PathLike[str]) -> None:
    """Write the digests of a set of images.

    Example:
        >>> write_content(table.images, "runs/photos/content.json")  # doctest: +SKIP
    """
    write_text(path, json.dumps(content_digests(images), indent=0))


def read_content(path: str | os.PathLike[str]) -> dict[int, str]:
    """Return the digests in a file of `write_content`; none where there is no file, as of earlier versions.

    Raises:
        DataError: Damaged.

    Example:
        >>> read_content("nowhere/content.json")
        {}
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        return {int(number): str(digest) for number, digest in json.loads(text).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: damaged, it holds no digests of images ({error}).") from None


def _in_source(images: ImageSequence, number: int) -> np.ndarray:
    """Return the pixels of an image as its source has them, not those of a cache."""
    source_of = getattr(images, "source_of", None)
    return images[number] if source_of is None else _in_source(*source_of(number))
