"""Pictures as text, for pages that hold them themselves."""

import base64
import io

import numpy as np


def png_base64(image: np.ndarray, side: int = 0) -> str:
    """Return an image as a PNG in base64.

    Args:
        image: uint8 (height, width, 3).
        side: Most pixels of either side; a larger image is made smaller. 0: as it is.

    Example:
        >>> png_base64(np.zeros((4, 4, 3), np.uint8))[:11]
        'iVBORw0KGgo'
    """
    from PIL import Image

    picture = Image.fromarray(np.asarray(image, np.uint8))
    if side:
        picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
