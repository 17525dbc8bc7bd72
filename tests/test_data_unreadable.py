"""Damaged files are left out by choice, listed and counted; whatever else Pillow reads is read."""

import numpy as np
import pytest
from PIL import Image

from efn_compose.data import load_table
from efn_compose.data.folds import make_folds
from efn_compose.data.unreadable import skip_unreadable
from efn_compose.errors import DataError

MODES = ("L", "RGB", "RGBA", "CMYK", "P", "I;16", "LA", "1")


@pytest.fixture
def folder(tmp_path):
    """A folder of classes with every mode, and names with spaces and other letters."""
    rng = np.random.default_rng(0)
    for name in ("naevus ø", "мелaнома"):
        (tmp_path / name).mkdir()
        for number in range(12):
            mode = MODES[number % len(MODES)]
            pixels = rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)
            image = Image.fromarray(pixels)
            if mode == "I;16":
                image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
            else:
                image = image.convert(mode)
            suffix = "tif" if mode == "CMYK" else "png"
            image.save(tmp_path / name / f"bild {number} 画像.{suffix}")
    return tmp_path


def test_all_modes_and_names_are_read(folder):
    table, left_out = skip_unreadable(load_table(f"folder:{folder}"))
    assert left_out == [] and len(table) == 24
    assert {table.images[number].shape for number in range(24)} == {(9, 7, 3)}
    assert len(make_folds(table, 3).parts(0)[0]) == 16


def test_damaged_images_are_listed_and_the_rest_keeps_its_labels(folder):
    broken = folder / "naevus ø" / "bild 3 画像.tif"
    broken.write_bytes(b"\x00" * 40)
    table = load_table(f"folder:{folder}")
    with pytest.raises(DataError, match=r"1 of 24 images cannot be decoded; at most 1.0%(.|\n)*画"):
        skip_unreadable(table)
    kept, left_out = skip_unreadable(table, at_most=0.1)
    assert [str(broken) in image.reason for image in left_out] == [True]
    rest = [number for number in range(24) if number != left_out[0].image]
    np.testing.assert_array_equal(kept.labels, table.labels[rest])
    for new, old in enumerate(rest):
        np.testing.assert_array_equal(kept.images[new], table.images[old])


def test_a_class_that_would_vanish_is_refused(folder):
    for file in (folder / "naevus ø").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(DataError, match="no image of 'naevus ø' can be decoded"):
        skip_unreadable(load_table(f"folder:{folder}"), at_most=0.9)
