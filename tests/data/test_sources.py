"""Every data source against arrays and files whose content is known."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efn_compose.data import DataOptions, load_data, load_table
from efn_compose.data.decoding.decode import ImageFiles, decode_file, resize_image, resize_images
from efn_compose.data.sources.fashion_mnist import DEBIAN_FOLDER, load_fashion_mnist
from efn_compose.data.table import ChosenImages
from efn_compose.errors import DataError

RED = (200, 30, 10)


def save(path: Path, colour=RED, size=(12, 9), mode="RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)
    return path


def test_digits_are_the_published_set():
    table = load_table("digits")
    # UCI: 1,797 images; counts per class as in the UCI description of the test set.
    assert np.bincount(table.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert table.labels.dtype == np.int32
    first = np.array([0, 0, 5, 13, 9, 1, 0, 0]) * 255 / 16
    np.testing.assert_array_equal(table.images[0][0, :, 0], np.rint(first))
    assert max(table.images[i].max() for i in range(20)) == 255


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="dataset-fashion-mnist not installed")
def test_fashion_mnist_is_the_published_set():
    table = load_table("fashion_mnist")
    assert len(table) == 70_000
    assert np.bincount(table.labels).tolist() == [7000] * 10
    # The first labels of train-labels-idx1-ubyte as printed in the authors' examples.
    assert table.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert table.images[69_999].shape == (28, 28, 3)


def write_idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


def test_fashion_mnist_reads_idx_and_names_a_damaged_file(tmp_path):
    rng = np.random.default_rng(0)
    parts = {"train": rng.integers(0, 256, (6, 4, 4), np.uint8)}
    parts["t10k"] = rng.integers(0, 256, (2, 4, 4), np.uint8)
    for part, images in parts.items():
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.arange(len(images), dtype=np.uint8))
    table = load_fashion_mnist(tmp_path)
    assert table.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    np.testing.assert_array_equal(table.images[7][..., 2], parts["t10k"][1])

    damaged = tmp_path / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(DataError, match="train-images-idx3"):
        load_fashion_mnist(tmp_path)


def test_folder_numbers_classes_by_name_and_skips_what_is_no_image(tmp_path):
    save(tmp_path / "rose" / "a.png")
    save(tmp_path / "rose" / "deep" / "b.JPG")
    save(tmp_path / "daisy" / "c.bmp")
    (tmp_path / "daisy" / "notes.txt").write_text("no image")
    save(tmp_path / ".hidden" / "d.png")
    table = load_table(f"folder:{tmp_path}")
    assert table.class_names == ("daisy", "rose")
    assert table.labels.tolist() == [0, 1, 1]
    assert [path.name for path in table.images.paths] == ["c.bmp", "a.png", "b.JPG"]


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a", "b"):
        save(tmp_path / "photos" / name / "1.png")
    assert len(load_table("folder:~/photos")) == 2


def test_a_document_beside_images_is_no_image(tmp_path):
    for number in range(4):
        save(tmp_path / "cd"[number % 2] / f"{number}.png")
    for name in ("licence.pdf", "features.h5", "film.MPG"):
        (tmp_path / "c" / name).write_bytes(b"%PDF-1.4")
    table = load_table(f"folder:{tmp_path}")
    assert len(table) == 4
    assert [note for note in table.notes if "3 files are no images" in note]


def test_folders_of_folders_are_questioned(tmp_path):
    """Two folders side by side, each of which holds the classes, would be two classes themselves."""
    for place in ("labelled/cat", "labelled/dog", "new/cat"):
        save(tmp_path / place / "1.png")
    (note,) = load_table(f"folder:{tmp_path}").notes
    assert "such as labelled/cat. The classes are labelled, new: if these are no classes" in note
    assert load_table(f"folder:{tmp_path / 'labelled'}").notes == ()
    # A class may have folders of its own beside its images.
    save(tmp_path / "new/2.png")
    assert load_table(f"folder:{tmp_path}").notes == ()


def test_folder_names_every_empty_class(tmp_path):
    save(tmp_path / "rose" / "a.png")
    (tmp_path / "lily").mkdir()
    (tmp_path / "iris").mkdir()
    with pytest.raises(DataError) as caught:
        load_table(f"folder:{tmp_path}")
    assert "iris" in str(caught.value)
    assert "lily" in str(caught.value)
    assert "rose" not in str(caught.value)


@pytest.mark.parametrize("kind", ["folder", "npz", "csv"])
def test_a_missing_path_is_named(kind, tmp_path):
    with pytest.raises(DataError, match="no such") as caught:
        load_table(f"{kind}:{tmp_path}/absent")
    assert "absent" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "suggestion"),
    [
        ("fashion-mnist", "'fashion_mnist'"),
        ("digit", "'digits'"),
        ("foldr:cats", "'folder:cats'"),
        ("csv", "'csv:PATH'"),
        ("npz:", "'npz:PATH'"),
    ],
)
def test_an_unknown_source_gets_a_suggestion(source, suggestion):
    with pytest.raises(DataError) as caught:
        load_table(source)
    assert f"Did you mean {suggestion}?" in str(caught.value)


def test_a_path_that_is_there_gets_its_kind(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "table.csv").write_text("")
    for name, kind in (("photos", "folder"), ("table.csv", "csv")):
        with pytest.raises(DataError) as caught:
            load_table(str(tmp_path / name))
        assert f"Did you mean '{kind}:{tmp_path / name}'?" in str(caught.value)


# Each mode's expected pixel follows from the mode's definition, not from our code.
@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("RGB", RED, "png", RED),
        ("L", 77, "png", (77, 77, 77)),
        ("1", 1, "png", (255, 255, 255)),
        ("RGBA", (*RED, 255), "png", RED),
        ("RGBA", (200, 30, 10, 0), "png", (255, 255, 255)),
        ("LA", (100, 0), "png", (255, 255, 255)),
        ("I;16", 257 * 91, "png", (91, 91, 91)),
        ("I;16", 65535, "tif", (255, 255, 255)),
        ("I", 257 * 91, "tif", (91, 91, 91)),
        ("CMYK", (0, 255, 255, 0), "tif", (255, 0, 0)),
        ("CMYK", (0, 0, 0, 255), "jpg", (0, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, colour, suffix, expected):
    pixels = decode_file(save(tmp_path / f"x.{suffix}", colour, mode=mode))
    assert pixels.shape == (9, 12, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - expected).max() <= (2 if suffix == "jpg" else 0)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "I;16", "CMYK"])
def test_files_are_resized_as_their_decoded_pixels_are(tmp_path, mode):
    rng = np.random.default_rng(0)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (31, 40)).astype(np.uint16))
    else:
        channels = len(Image.new(mode, (1, 1)).getbands())
        pixels = rng.integers(0, 256, (31, 40, channels), np.uint8)
        image = Image.frombytes(mode, (40, 31), pixels.tobytes())
    image.save(tmp_path / "plain.tif")
    path = tmp_path / "turned.tif"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(path, exif=exif)
    upright = decode_file(path)
    assert np.array_equal(upright, np.rot90(decode_file(tmp_path / "plain.tif"), 3))
    expected = np.asarray(Image.fromarray(upright).resize((9, 9), Image.Resampling.BILINEAR))
    files = ImageFiles([path])
    assert np.array_equal(resize_images(files, np.array([0]), 9)[0], expected)
    chosen = ChosenImages(files, np.array([0, 0]))
    assert np.array_equal(resize_images(chosen, np.array([1]), 9)[0], expected)
    assert np.array_equal(resize_image(upright, 9), expected)


def test_a_palette_with_a_transparent_colour_is_laid_over_white(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "p.png", transparency=0)
    pixels = decode_file(tmp_path / "p.png")
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    assert tuple(pixels[1, 1]) == RED


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (10, 4), "black")
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.save(tmp_path / "turned.png", exif=exif)
    assert decode_file(tmp_path / "turned.png").shape == (10, 4, 3)


def test_all_undecodable_files_are_reported_at_once(tmp_path):
    for number in range(4):
        save(tmp_path / "a" / f"good{number}.png")
        save(tmp_path / "b" / f"good{number}.jpg", size=(40, 40))
    whole = (tmp_path / "b" / "good0.jpg").read_bytes()
    (tmp_path / "b" / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a" / "empty.png").write_bytes(b"")
    (tmp_path / "a" / "text.png").write_text("hello")
    Image.new("F", (4, 4), 0.5).save(tmp_path / "a" / "float.tif")
    with pytest.raises(DataError) as caught:
        load_data(DataOptions(f"folder:{tmp_path}", size=8), seed=1)
    message = str(caught.value)
    assert message.startswith("4 of 12 images")
    for name in ("truncated.jpg", "empty.png", "text.png", "float.tif"):
        assert name in message
    assert "good" not in message


def test_resizing_averages_when_it_shrinks():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1, 256, 256, 3), np.uint8)
    small = resize_images(noise, np.array([0]), 16)[0].astype(float)
    # Antialiased: a pixel averages about 16² values of std 74; point sampling would keep 74.
    assert small.std() < 15
    np.testing.assert_allclose(small.mean(), noise.mean(), atol=2)


def npz(tmp_path, **arrays) -> str:
    np.savez(tmp_path / "d.npz", **arrays)
    return f"npz:{tmp_path / 'd.npz'}"


def test_npz_keeps_pixels_labels_and_groups(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    source = npz(
        tmp_path, images=images, labels=[10, 9, 9, 10], groups=np.array(["p2", "p1", "p1", "p2"])
    )
    table = load_table(source)
    assert table.class_names == ("9", "10")
    assert table.labels.tolist() == [1, 0, 0, 1]
    assert table.groups.tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(table.images[3], images[3])


def test_npz_has_its_classes_in_the_order_of_their_names(tmp_path):
    images, names = np.zeros((3, 4, 4, 3), np.uint8), ["nevus", "melanoma"]
    table = load_table(npz(tmp_path, images=images, labels=[0, 1, 0], class_names=names))
    words = [names[label] for label in (0, 1, 0)]
    same = load_table(npz(tmp_path, images=images, labels=words, class_names=names))
    assert same.class_names == table.class_names == ("nevus", "melanoma")
    assert same.labels.tolist() == table.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 5, 6, 1)])
def test_npz_repeats_grey(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    table = load_table(npz(tmp_path, images=images, labels=["a", "b", "a"]))
    np.testing.assert_array_equal(table.images[1][..., 2], images[1].reshape(5, 6))


def test_npz_lists_all_its_faults(tmp_path):
    source = npz(
        tmp_path,
        images=np.zeros((4, 5, 6, 2), np.float32),
        labels=np.zeros(3, np.float64),
        groups=np.zeros(2, int),
    )
    with pytest.raises(DataError) as caught:
        load_table(source)
    message = str(caught.value)
    for part in ("(4, 5, 6, 2)", "received float32", "received float64", "(3,)", "(2,)"):
        assert part in message


class Trap:
    """Unpickling this would create a file."""

    def __reduce__(self):
        return (open, ("trap-was-sprung", "w"))


def test_npz_runs_no_pickle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.zeros((3, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=np.array([Trap()], object))
    with pytest.raises(DataError, match="'labels' cannot be read"):
        load_table("npz:d.npz")
    assert not (tmp_path / "trap-was-sprung").exists()
    # What pandas' Series.values are.
    np.savez(tmp_path / "d.npz", images=images, labels=np.array(["a", "b", "a"], object))
    with pytest.raises(DataError, match="Python objects") as caught:
        load_table("npz:d.npz")
    assert "np.asarray(VALUES, str)" in str(caught.value) and "damaged" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04rubbish", b"\x93NUMPY\x01\x00", b"x" * 500])
def test_npz_damaged(tmp_path, content):
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"d\.npz"):
        load_table(f"npz:{tmp_path / 'd.npz'}")


def test_npz_truncated(tmp_path):
    npz(tmp_path, images=np.zeros((30, 8, 8, 3), np.uint8), labels=np.arange(30))
    file = tmp_path / "d.npz"
    whole = file.read_bytes()
    for cut in (100, len(whole) // 2, len(whole) - 10):
        file.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"d\.npz"):
            load_table(f"npz:{file}")


def test_npz_without_labels(tmp_path):
    with pytest.raises(DataError, match="no array 'labels'"):
        load_table(npz(tmp_path, images=np.zeros((3, 4, 4, 3), np.uint8)))


def test_npz_groups_that_are_missing_are_refused(tmp_path):
    source = npz(tmp_path, images=np.zeros((3, 4, 4, 3), np.uint8), labels=[0, 1, 1])
    assert load_table(source).groups is None
    arrays = {"images": np.zeros((3, 4, 4, 3), np.uint8), "labels": [0, 1, 1]}
    with pytest.raises(DataError, match="1 groups say nothing"):
        load_table(npz(tmp_path, **arrays, groups=[1.0, np.nan, 2.0]))


def test_fingerprint_changes_with_pixels_labels_and_split_only(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    labels = np.arange(40) % 2
    options = DataOptions(npz(tmp_path, images=images, labels=labels), 8, 0, 0, 0)
    first = load_data(options, seed=1)
    assert load_data(options, seed=1).fingerprint == first.fingerprint
    assert load_data(options, seed=2).fingerprint != first.fingerprint

    pixel = images.copy()
    pixel[17, 3, 3, 1] ^= 1
    npz(tmp_path, images=pixel, labels=labels)
    saved = load_data(options, seed=1, saved_split=first.split)
    assert saved.split == first.split
    assert saved.fingerprint != first.fingerprint
    # An independent account of the same bytes, so that a forgotten part would show.
    seen = {hashlib.sha256(image).hexdigest() for image in images}
    parts = (first.train_images, first.validation_images, first.test_images)
    assert seen == {hashlib.sha256(image).hexdigest() for part in parts for image in part}


def test_unlabelled_images_need_no_classes_and_missing_ones_are_named(tmp_path):
    save(tmp_path / "deep" / "b ø.png", colour=(1, 2, 3))
    save(tmp_path / "a.png", colour=(4, 5, 6))
    (tmp_path / "notes.txt").write_text("no image")
    images = load_table(f"folder:{tmp_path}", needs_labels=False).images
    assert [tuple(images[number][0, 0]) for number in range(len(images))] == [(4, 5, 6), (1, 2, 3)]
    (tmp_path / "nothing").mkdir()
    for path, words in (("absent", "no such folder"), ("nothing", "no images below")):
        with pytest.raises(DataError, match=words):
            load_table(f"folder:{tmp_path / path}", needs_labels=False)
    assert len(load_table("digits", needs_labels=False)) == 1797
    with pytest.raises(DataError, match="Unknown data source 'foldr:x'"):
        load_table("foldr:x", needs_labels=False)
