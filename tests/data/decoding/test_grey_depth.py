"""16-bit files with values of 12 bits: said once, and never rescaled."""

import numpy as np
import pytest
from PIL import Image

from efn_compose.data import load_table
from efn_compose.data.decoding.decode import decode_file


def folder_of(root, largest, dtype=np.uint16, suffix="png"):
    """Write grey images of two classes; `largest` has one value per image."""
    for number, value in enumerate(largest):
        pixels = np.zeros((6, 6), dtype)
        pixels[2, 3] = value
        place = root / "ab"[number % 2] / f"{number:02}.{suffix}"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place)
    return load_table(f"folder:{root}")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_values_of_12_bits_are_said_and_stay_as_they_are(tmp_path, suffix):
    table = folder_of(tmp_path, [4095, 900, 17, 4000], suffix=suffix)
    (note,) = table.notes
    assert "the largest value in the 4 that were looked at is 4095" in note
    assert "times 16" in note
    # 65535 is white: 4095 / 65535 of 255 is 15.9.
    assert decode_file(tmp_path / "a" / f"00.{suffix}").max() == 16


def test_one_image_of_the_whole_range_answers_the_question(tmp_path):
    assert folder_of(tmp_path, [4095, 900, 65535, 12]).notes == ()


def test_dark_images_of_8_bits_are_nobodys_mistake(tmp_path):
    assert folder_of(tmp_path, [3, 4, 5, 6], np.uint8).notes == ()


def test_a_mixed_and_damaged_folder_is_judged_by_its_16_bit_files(tmp_path):
    folder_of(tmp_path, [3, 4], np.uint8, "bmp")
    (tmp_path / "a" / "broken.png").write_bytes(b"no image")
    table = folder_of(tmp_path, [100, 200])
    (note,) = table.notes
    assert "the 2 that were looked at is 200" in note
