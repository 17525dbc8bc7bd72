"""Masks and missing labels, from file to array."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from efn_compose.data import DataOptions, ImageTable, load_table
from efn_compose.data.decoding.decode import ImageFiles
from efn_compose.data.decoding.unreadable import skip_unreadable
from efn_compose.data.folding.folds import make_folds
from efn_compose.data.holding import Holding
from efn_compose.data.masks.masks import IGNORED, MaskFiles, decode_mask
from efn_compose.data.masks.reading import read_masks
from efn_compose.data.sources.mask_files import with_mask_files
from efn_compose.data.split import split
from efn_compose.data.table import UNLABELLED
from efn_compose.errors import DataError


def read_all(masks, size, shape):
    """Return masks as a training reads them, on black images of a shape."""
    images = np.zeros((len(masks), *shape, 3), np.uint8)
    table = ImageTable(images, np.full(len(masks), UNLABELLED), (), "made", masks=masks)
    return read_masks(table, size, show_progress=False)


def read(masks, size, shape):
    """Return the class numbers alone."""
    return read_all(masks, size, shape).masks


@pytest.mark.parametrize("shape", [(7, 7), (20, 13), (64, 48)])
@pytest.mark.parametrize("size", [8, 16, 33])
def test_each_pixel_of_a_resized_mask_is_a_nearest_one(shape, size):
    # A mask of its own row numbers, and one of its column numbers.
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.uint8)
    found = read([rows, columns], size, shape).astype(float)
    for axis, (length, numbers) in enumerate(zip(shape, found, strict=True)):
        centres = (np.arange(size) + 0.5) * length / size
        distance = np.abs(centres[:, None] - (np.arange(length) + 0.5))
        taken = np.moveaxis(numbers, axis, 0)
        own = np.abs(centres[:, None] - (taken + 0.5))
        np.testing.assert_allclose(own, distance.min(axis=1)[:, None].repeat(size, 1))


def test_a_mask_files_own_numbers_are_the_classes(tmp_path):
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    Image.fromarray(mask).save(tmp_path / "grey.png")
    palette = Image.fromarray(mask).convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(mask > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(decode_mask(tmp_path / "grey.png"), mask)
    np.testing.assert_array_equal(decode_mask(tmp_path / "palette.png"), mask)
    np.testing.assert_array_equal(decode_mask(tmp_path / "bits.png"), mask > 0)
    white = 255 * (mask > 0).astype(np.uint8)
    np.testing.assert_array_equal(read([white], 4, (3, 4)) > 0, read([mask], 4, (3, 4)) > 0)
    Image.fromarray(np.zeros((3, 4, 3), np.uint8)).save(tmp_path / "colour.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "grey.png").read_bytes()[:40])
    files = [tmp_path / name for name in ("colour.png", "broken.png", "missing.png")]
    with pytest.raises(DataError, match="3 of 3") as error:
        read(MaskFiles(files), 8, (3, 4))
    for file, reason in zip(files, ("one channel", "", "no such file"), strict=True):
        assert file.name in str(error.value) and reason in str(error.value)


def test_a_part_of_a_larger_set_keeps_its_numbers():
    # Ten images of VOC's 21 classes may well lack five of them; its borders are 255.
    numbers = np.array([0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 15, 16, 17, 19, 20, 255], np.uint8)
    found = read_all([numbers[None]], 17, (1, 17))
    np.testing.assert_array_equal(found.masks[0, 0], numbers)
    assert found.names == tuple(str(number) for number in range(21))
    assert "no pixel is of 3, 7, 13, 14, 18" in found.note


@pytest.mark.parametrize("values", [[0, 128], [0, 128, 255], [0, 38, 75, 113], list(range(65))])
def test_greys_are_not_taken_for_classes(values):
    # 38, 75 and 113 are the first colours of VOC's palette turned to grey.
    masks = [np.array([values], np.uint8)]
    with pytest.raises(DataError, match="colours or intensities"):
        read_all(masks, 8, (1, len(values)))


@pytest.mark.parametrize("suffix", ["tif", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_is_turned_upright_as_its_image_is(tmp_path, suffix, orientation):
    mask = np.zeros((5, 9), np.uint8)
    mask[1, 2:], mask[4, :3] = 1, 2
    file, exif = tmp_path / f"mask.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(mask).save(file, exif=exif)
    # What each orientation asks for, as the standard has it.
    wanted = [mask, mask[:, ::-1], mask[::-1, ::-1], mask[::-1]]
    wanted += [mask.T, mask.T[:, ::-1], mask[::-1, ::-1].T, mask.T[::-1]]
    np.testing.assert_array_equal(decode_mask(file), wanted[orientation - 1])


def test_what_is_taken_of_images_is_taken_of_masks_and_refused_in_the_same_words(tmp_path):
    mask = np.eye(20, dtype=np.uint8)
    words = PngInfo()
    words.add_text("history", 2_000_000 * "x", zip=True)
    Image.fromarray(mask).save(tmp_path / "history.png", pnginfo=words)
    np.testing.assert_array_equal(decode_mask(tmp_path / "history.png"), mask)
    Image.new("1", (14000, 13000)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match=r"large\.png: too large: more than 178,956,970 pixels"):
        decode_mask(tmp_path / "large.png")


@pytest.mark.parametrize("pattern", ["*_mask.png", "../masks/*.png", "../masks/*/mask.png"])
def test_the_name_of_an_image_stands_anywhere_in_the_pattern(tmp_path, pattern):
    for name in "ab":
        mask = tmp_path / "images" / pattern.replace("*", name)
        for file in (tmp_path / "images" / f"{name}.jpg", mask):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(file)
    table = with_mask_files(
        load_table(f"folder:{tmp_path / 'images'}", needs_labels=False), pattern
    )
    wanted = [(tmp_path / "images" / pattern.replace("*", name)).resolve() for name in "ab"]
    assert [Path(mask).resolve() for mask in table.masks.paths] == wanted


def test_an_archive_brings_its_masks(tmp_path):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 255, (4, 9, 6, 3)).astype(np.uint8)
    masks = rng.integers(0, 2, (4, 9, 6)).astype(np.uint8)
    path, labels = tmp_path / "table.npz", np.arange(4) % 2
    np.savez(path, images=images, labels=labels, masks=masks)
    table = load_table(f"npz:{path}").chosen(np.array([3, 0]))
    found = read_masks(table, 12).masks
    np.testing.assert_array_equal(found, read(masks[[3, 0]], 12, (9, 6)))
    np.savez(path, images=images, labels=labels, masks=masks[:, :8])
    with pytest.raises(DataError, match="'masks': expected uint8"):
        load_table(f"npz:{path}")


def test_an_image_without_a_mask_file_has_a_mask_to_ignore():
    np.testing.assert_array_equal(MaskFiles([None])[0], [[IGNORED]])


def test_what_needs_labels_says_which_images_have_none():
    images = np.zeros((40, 8, 8, 3), np.uint8)
    labels = np.arange(40, dtype=np.int32) % 2
    labels[[5, 7]] = UNLABELLED
    table = ImageTable(images, labels, ("a", "b"), "mixed")
    for needs in (
        lambda: split(table, DataOptions(train_images=8, validation_images=8, test_images=8), 1),
        lambda: make_folds(table, 2),
    ):
        with pytest.raises(DataError, match="2 of 40 images have no label, the first is 5"):
            needs()
    assert table.chosen(np.array([0, 1])).all_labelled().labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="expected 0 to 1, or -1 for none"):
        ImageTable(images, labels - 1, ("a", "b"), "mixed")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
def test_the_size_that_a_mask_must_have_is_that_of_the_image_turned_upright(tmp_path, suffix):
    files, masks = [], []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files.append(tmp_path / f"{orientation}.{suffix}")
        Image.new("RGB", (6, 10)).save(files[-1], exif=exif)
        # EXIF 2.32, 4.6.4.A: from 5 on, the stored rows are the columns of the picture.
        masks.append(
            np.eye(10, 6, dtype=np.uint8) if orientation < 5 else np.eye(6, 10, dtype=np.uint8)
        )
    labels = np.full(8, UNLABELLED)
    table = ImageTable(ImageFiles(files), labels, (), "turned", masks=masks).chosen(np.arange(8))
    assert read_masks(table, 4, show_progress=False).masks.shape == (8, 4, 4)
    turned = ImageTable(ImageFiles(files), labels, (), "stored", masks=masks[::-1])
    with pytest.raises(DataError, match="8 masks have another size"):
        read_masks(turned, 4, show_progress=False)


def test_a_mask_has_the_size_of_its_file_where_the_image_is_read_from_the_cache(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file in files:
        Image.new("RGB", (6, 10)).save(file)
    files[1].write_bytes(b"broken")
    labels, masks = np.full(3, UNLABELLED), [np.eye(10, 6, dtype=np.uint8)] * 3
    table = ImageTable(ImageFiles(files), labels, (), "three", masks=masks)
    held = {"at_most": 0.5, "size": 8, "holding": Holding("cache"), "needs_labels": False}
    kept, left_out = skip_unreadable(table, **held, show_progress=False)
    assert [image.image for image in left_out] == [1]
    assert read_masks(kept, 8, show_progress=False).masks.shape == (2, 8, 8)


def test_a_header_that_cannot_be_read_is_named_and_not_taken_for_another_size(tmp_path):
    (tmp_path / "page.png").write_bytes(b"<!DOCTYPE html>")
    masks = [np.eye(6, dtype=np.uint8)]
    table = ImageTable(
        ImageFiles([tmp_path / "page.png"]), np.full(1, UNLABELLED), (), "one", masks=masks
    )
    with pytest.raises(DataError, match=r"page\.png: not an image"):
        read_masks(table, 4, show_progress=False)
