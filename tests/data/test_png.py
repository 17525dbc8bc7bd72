"""Pictures in pages: what comes out of the text is the picture."""

import base64
import io

import numpy as np
from PIL import Image

from efn_compose.data.png import png_base64


def opened(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_a_picture_keeps_its_pixels_and_a_large_one_its_shape():
    image = np.random.default_rng(1).integers(0, 255, (48, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(opened(png_base64(image))), image)
    np.testing.assert_array_equal(np.asarray(opened(png_base64(image, 48))), image)
    assert opened(png_base64(image, 24)).size == (20, 24)
