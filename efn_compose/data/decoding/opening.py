"""An image file opened by Pillow: what is wrong with it in plain words, upright, as RGB."""

import io
import os
import struct
import warnings
from collections.abc import Callable
from functools import cache
from typing import IO, TYPE_CHECKING, TypeVar

import numpy as np

from efn_compose.data.table import ImageError, printable

if TYPE_CHECKING:
    from PIL import Image

#: What is read of an open image.
Read = TypeVar("Read")


def read_image(
    source: str | os.PathLike[str] | bytes, name: object, read: "Callable[[Image.Image], Read]"
) -> "Read":
    """Return what is read of an image; its metadata are neither needed nor rewritten.

    Args:
        source: A file, or the bytes of one.
        name: Of the image, for messages.
        read: Reads an image that Pillow has opened.

    Raises:
        ImageError: Missing, damaged, of a format that Pillow does not know, or too large.
    """
    from PIL import Image, UnidentifiedImageError

    take_large_images_quietly()
    try:
        return _read_open(source, read)
    except UnidentifiedImageError:
        raise ImageError(f"{printable(name)}: not an image that Pillow knows") from None
    except FileNotFoundError:
        raise ImageError(f"{printable(name)}: no such file") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"{printable(name)}: too large: more than {most:,} pixels") from None
    # Pillow's decoders raise these for damaged files, SyntaxError among them.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise ImageError(f"{printable(name)}: {error or type(error).__name__}") from None


@cache
def take_large_images_quietly() -> None:
    """Let Pillow not warn of what it decodes all the same; from twice that size it refuses."""
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _read_open(
    source: str | os.PathLike[str] | bytes, read: "Callable[[Image.Image], Read]"
) -> "Read":
    from PIL import Image, UnidentifiedImageError

    from efn_compose.data.decoding.png_metadata import without_metadata

    try:
        # Not by its path: Pillow 12 maps a plain TIFF of a path and mixes its rows up where the image
        # lies on its side.
        with _open(source) as file, Image.open(file) as opened:
            return read(opened)
    except (ValueError, UnidentifiedImageError):
        # Pillow gives an image up for a text chunk that is too long, or has a wrong checksum.
        plain = without_metadata(source)
        if plain is None:
            raise
        with Image.open(plain) as opened:
            return read(opened)


def _open(source: str | os.PathLike[str] | bytes) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


#: What turns an image upright, by the EXIF orientation it was stored with.
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_SWAP_SIDES = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
_ORIENTATION = 0x0112


def upright(image: "Image.Image") -> "Image.Image":
    """Return a loaded image turned as its EXIF orientation says."""
    from PIL import Image

    # A TIFF is turned by Pillow when it is loaded, and has no orientation after that.
    image.load()
    turn = _turn(image)
    return image.transpose(Image.Transpose[turn]) if turn else image


def upright_shape(image: "Image.Image") -> tuple[int, int]:
    """Return height and width as `upright` would turn an image, without loading its pixels."""
    # Pillow states a TIFF's size as it will be when it is turned.
    lies = image.format != "TIFF" and _turn(image) in _SWAP_SIDES
    return image.size if lies else image.size[::-1]


def _turn(image: "Image.Image") -> str | None:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    # An EXIF block that cannot be read says nothing of how the pixels are to be turned.
    except (SyntaxError, ValueError, TypeError, KeyError, LookupError, struct.error, OSError):
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def to_rgb(image: "Image.Image") -> "Image.Image":
    """Return an image as RGB of 8 bits, on white where it is transparent.

    Raises:
        ValueError: Its pixels have no fixed range.
    """
    from PIL import Image

    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int64)
        if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
            raise ValueError("32-bit integer pixels outside 0-65535; save it as 8 or 16 bit")
        image = Image.fromarray(np.rint(pixels / 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it as 8 or 16 bit")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")
