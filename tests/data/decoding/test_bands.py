"""Large images, decoded in bands: Pillow's pixels of the whole image, in less memory."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from efn_compose.data.decoding import bands
from efn_compose.data.decoding.decode import decode_file


def whole(image: Image.Image) -> Image.Image:
    """Return an image as RGB over white, by Pillow and in one piece."""
    if image.mode == "I;16":
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "P transparent", "LA", "RGB", "RGBA", "CMYK", "I;16"]
)
@pytest.mark.parametrize("width, height", [(37, 61), (200, 3), (1, 90)])
def test_pixels_are_those_of_the_whole_image(tmp_path, monkeypatch, mode, width, height):
    monkeypatch.setattr(bands, "_BAND", 150)
    rng = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (height, width), np.uint16))
    else:
        pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
        image = Image.fromarray(pixels).convert("RGB" if mode[0] in "PC" else "RGBA")
        image = image.convert(mode.split()[0])
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path, **({"transparency": 3} if "transparent" in mode else {}))
    with Image.open(path) as opened:
        wanted = whole(opened)
    np.testing.assert_array_equal(decode_file(path), np.asarray(wanted))
    for size in (8, 37, 64):
        small = wanted.resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(decode_file(path, size), np.asarray(small))


@pytest.mark.slow
def test_a_large_drawing_takes_little_more_than_its_own_pixels(tmp_path):
    side = 6000
    Image.new("RGBA", (side, side), (200, 30, 10, 90)).save(tmp_path / "a.png", compress_level=1)
    script = """
import resource, sys
from efn_compose.data.decoding.decode import decode_file
decode_file(sys.argv[1], 8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_file(sys.argv[2], 32)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
    Image.new("RGBA", (9, 9)).save(tmp_path / "small.png")
    told = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "small.png", tmp_path / "a.png"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(told.stdout) < 1.5 * 4 * side * side
