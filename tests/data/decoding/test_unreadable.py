"""Damaged files are left out by choice, listed and counted; whatever else Pillow reads is read."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from efn_compose.cli import main
from efn_compose.data import DataOptions, load_data, load_table, split
from efn_compose.data.decoding.unreadable import skip_unreadable
from efn_compose.data.folding.folds import make_folds
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
    table = load_table(f"folder:{folder}")
    with pytest.raises(DataError, match="no image of 'naevus ø' can be decoded"):
        skip_unreadable(table, at_most=0.9)
    # Of images without labels the folders are no classes.
    assert len(skip_unreadable(table, at_most=0.9, needs_labels=False)[0]) == 12


def test_an_image_beside_the_classes_takes_no_class_with_it(folder):
    (folder / "loose.png").write_bytes(b"no image")
    notes = load_table(f"folder:{folder}").notes
    assert "1 image lies beside the folders of classes and is passed over." in notes
    table = load_table(f"folder:{folder}", needs_labels=False)
    kept, left_out = skip_unreadable(table, at_most=0.2)
    assert (len(kept), len(left_out)) == (24, 1)


def test_a_folder_of_which_nothing_can_be_decoded_is_refused(tmp_path):
    (tmp_path / "loose.png").write_bytes(b"no image")
    table = load_table(f"folder:{tmp_path}", needs_labels=False)
    with pytest.raises(DataError, match="no image can be decoded"):
        skip_unreadable(table, at_most=1.0, needs_labels=False)


def test_a_run_refuses_damaged_images_or_leaves_them_out_and_lists_them(folder):
    broken = folder / "naevus ø" / "bild 3 画像.tif"
    broken.write_bytes(b"\x00" * 40)
    options = DataOptions(f"folder:{folder}", size=16)
    with pytest.raises(DataError, match=r"1 of 24 images cannot be decoded(.|\n)*unreadable_share"):
        load_data(options, 1)
    options = DataOptions(f"folder:{folder}", size=16, unreadable_share=0.1)
    data = load_data(options, 1)
    (left_out,) = data.left_out
    assert str(broken) in left_out.reason
    sizes = [len(getattr(data, f"{part}_images")) for part in ("train", "validation", "test")]
    assert sum(sizes) == 23
    assert load_data(options, 1, saved_split=data.split).fingerprint == data.fingerprint


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on Linux only")
def test_names_that_are_no_utf8_are_read_and_shown_as_escapes(tmp_path, capsys):
    for label in (b"caf\xe9", b"tea"):
        os.mkdir(os.path.join(os.fsencode(tmp_path), label))
        for number in range(6):
            path = os.path.join(os.fsencode(tmp_path), label, b"\xff %d.png" % number)
            Image.fromarray(np.full((8, 8, 3), 9 * number, np.uint8)).save(os.fsdecode(path))
    with open(path, "wb") as file:
        file.write(b"no image")
    table, (left_out,) = skip_unreadable(load_table(f"folder:{tmp_path}"), at_most=0.5)
    assert table.class_names == ("caf\\xe9", "tea")
    assert "\\xff 5.png" in left_out.reason and "\\xff 0.png" in table.image_name(0)
    command = ["folds", f"folder:{tmp_path}", "--count", "2", "--skip-unreadable", "0.5"]
    assert main([*command, "-o", str(tmp_path / "f.csv"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "\\xff 5.png" in said["left_out"][0]
    assert main(["folds", f"folder:{tmp_path}", "--count", "2"]) == 1
    assert "\\xff 5.png" in capsys.readouterr().err


def test_classes_without_images_and_sets_of_one_class_are_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    names = {"class_names": ["a", "b", "never seen"]}
    np.savez(tmp_path / "empty.npz", images=images, labels=np.arange(30) % 2, **names)
    np.savez(tmp_path / "one.npz", images=images, labels=np.zeros(30, int))
    for cut in (lambda t: make_folds(t, 3), lambda t: split(t, DataOptions("", size=8), 1)):
        with pytest.raises(DataError, match="'never seen'"):
            cut(load_table(f"npz:{tmp_path / 'empty.npz'}"))
        with pytest.raises(DataError, match="1 class; at least 2 are needed"):
            cut(load_table(f"npz:{tmp_path / 'one.npz'}"))
    # All of one class in one patient: a fold would have none of it.
    groups = np.where(np.arange(30) % 2, 0, np.arange(30))
    labels = np.arange(30) % 2
    np.savez(tmp_path / "patient.npz", images=images, labels=labels, groups=groups)
    with pytest.raises(DataError, match="class '1' is in 1 patient; 3 folds need 3"):
        make_folds(load_table(f"npz:{tmp_path / 'patient.npz'}"), 3)
