"""Images and tables as cameras, spreadsheets and other programs write them: nothing is lost unsaid."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from efn_compose.data import load_table
from efn_compose.data.decoding.decode import decode_file
from efn_compose.data.decoding.opening import take_large_images_quietly
from efn_compose.data.table import ImageError
from efn_compose.errors import DataError


def pixels_of(seed, shape=(24, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(path, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels_of(seed)).save(path, **options)
    return path


def exif_block(orientation, second):
    first = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    body = struct.pack("<H", 2) + first + second + struct.pack("<I", 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + body


GOOD = struct.pack("<HHIHH", 0x0128, 3, 1, 2, 0)
#: EXIF entries of the wrong type, as some phones and editors write them.
WRONG = {
    "unit as a byte": struct.pack("<HHI4s", 0x0128, 1, 1, b"\x02\0\0\0"),
    "text as a float": struct.pack("<HHIf", 0x0131, 11, 1, 1.5),
    "an unknown type": struct.pack("<HHII", 0x0132, 77, 1, 0),
    "a value beyond the end": struct.pack("<HHII", 0x010F, 2, 9999, 9999),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", sorted(WRONG))
@pytest.mark.filterwarnings("ignore:Tag data larger than file:UserWarning")  # Pillow's, and true
def test_metadata_of_the_wrong_type_costs_no_image_and_no_orientation(tmp_path, kind, orientation):
    good = save(tmp_path / "good.png", exif=exif_block(orientation, GOOD))
    wrong = save(tmp_path / "wrong.png", exif=exif_block(orientation, WRONG[kind]))
    assert np.array_equal(decode_file(wrong), decode_file(good))


#: What each EXIF orientation asks for, as the standard's table of rows and columns says it.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_every_orientation_is_turned_upright(tmp_path, orientation):
    path = save(tmp_path / "a.png", exif=exif_block(orientation, GOOD))
    assert np.array_equal(decode_file(path), UPRIGHT[orientation](pixels_of(0)))


def test_a_text_chunk_too_long_for_pillow_costs_no_image(tmp_path):
    texts = PngImagePlugin.PngInfo()
    compressed = zlib.compress(b"a" * (PngImagePlugin.MAX_TEXT_CHUNK + 1))
    texts.add(b"zTXt", b"Comment\0\0" + compressed)
    path = save(tmp_path / "a.png", pnginfo=texts)
    with pytest.raises(ValueError, match="too large"), Image.open(path) as opened:
        opened.load()
    assert np.array_equal(decode_file(path), pixels_of(0))


def test_large_images_are_decoded_quietly_and_larger_ones_are_refused_in_plain_words(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    for side in (10, 11):
        Image.new("RGB", (side, side), "red").save(tmp_path / f"{side}.png")
    with pytest.warns(Image.DecompressionBombWarning), Image.open(tmp_path / "10.png"):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        take_large_images_quietly.cache_clear()
        assert decode_file(tmp_path / "10.png").shape == (10, 10, 3)
    with pytest.raises(ImageError, match=r"11\.png: too large: more than 100 pixels$"):
        decode_file(tmp_path / "11.png")


@pytest.mark.parametrize("kind", [b"tEXt", b"iTXt", b"eXIf", b"acTL", b"tIME"])
def test_metadata_of_a_png_with_a_wrong_checksum_cost_no_image(tmp_path, kind):
    path = save(tmp_path / "a.png", exif=exif_block(6, GOOD))
    content = path.read_bytes()
    # Behind the header, which is 8 + 25 bytes long (PNG specification, 5.2 and 11.2.2).
    chunk = struct.pack(">I", 8) + kind + b"k\0MM\0*\0\0" + b"\0\0\0\0"
    path.write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(path)
    assert np.array_equal(decode_file(path), UPRIGHT[6](pixels_of(0)))


def classes(root, names=("cat", "dog"), count=3, suffix=".png"):
    for number, name in enumerate(names):
        for image in range(count):
            save(root / name / f"{image}{suffix}", seed=10 * number + image)
    return root


def test_links_inside_class_folders_are_followed_once(tmp_path):
    root, other = classes(tmp_path / "photos", count=2), classes(tmp_path / "disk", count=5)
    for name in ("cat", "dog"):
        (root / name / "more").symlink_to(other / name)
        (root / name / "again").symlink_to(other / name)
        (root / name / "loop").symlink_to(root / name)
    assert np.bincount(load_table(f"folder:{root}").labels).tolist() == [7, 7]


def test_a_link_up_brings_no_images_of_other_classes(tmp_path):
    root = classes(tmp_path / "photos")
    for name in ("cat", "dog"):
        (root / name / "up").symlink_to(root)
        (root / name / "further up").symlink_to(tmp_path)
    before = [len(list((root / name).glob("*.png"))) for name in ("cat", "dog")]
    assert np.bincount(load_table(f"folder:{root}").labels).tolist() == before


def test_a_split_whose_test_images_have_no_classes_is_recognised(tmp_path):
    classes(tmp_path / "train")
    for number in range(3):
        save(tmp_path / "test" / f"{number}.png", seed=number)
    with pytest.raises(DataError, match="parts of a split, with the classes cat, dog"):
        load_table(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "val", "test"), ("Train", "Validation"), ("fold_0", "fold_1"),
        ("training_set", "test_set"), ("seg_train", "seg_test"), ("train2017", "val2017"),
    ],
)  # fmt: skip
def test_a_split_above_the_classes_is_recognised(tmp_path, parts):
    for part in parts:
        classes(tmp_path / part)
    with pytest.raises(DataError, match="parts of a split, with the classes cat, dog"):
        load_table(f"folder:{tmp_path}")


def test_classes_that_are_called_like_parts_stay_classes(tmp_path):
    classes(tmp_path, ("train", "test"))
    assert load_table(f"folder:{tmp_path}").class_names == ("test", "train")


def test_folders_of_other_words_stay_classes(tmp_path):
    for part in ("camera_a", "camera_b", "retrained", "latest"):
        classes(tmp_path / part)
    assert len(load_table(f"folder:{tmp_path}").class_names) == 4


def test_what_unpacking_on_a_mac_leaves_is_no_class(tmp_path):
    root = classes(tmp_path)
    (root / "__MACOSX" / "cat").mkdir(parents=True)
    (root / "__MACOSX" / "cat" / "._0.png").write_bytes(b"x")
    loaded = load_table(f"folder:{root}")
    assert loaded.class_names == ("cat", "dog") and loaded.notes == ()


def test_a_class_of_pictures_that_cannot_be_read_says_which_they_are(tmp_path):
    root = classes(tmp_path)
    (root / "bird").mkdir()
    for number in range(4):
        (root / "bird" / f"{number}.HEIC").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"bird: no images in it that can be read here, only 4 \.heic"
    ):
        load_table(f"folder:{root}")
    with pytest.raises(DataError, match=r"no images below .* only 4 \.heic"):
        load_table(f"folder:{root / 'bird'}", needs_labels=False)


def test_classes_that_differ_in_letter_case_only_are_said(tmp_path):
    (note,) = load_table(f"folder:{classes(tmp_path, ('Cat', 'cat', 'dog'))}").notes
    assert "'Cat' and 'cat' are two classes" in note


def test_files_passed_over_are_counted_by_suffix(tmp_path):
    root = classes(tmp_path)
    for name in ("a.heic", "b.HEIC", "scan.dcm", "README"):
        (root / "cat" / name).write_bytes(b"x")
    notes = load_table(f"folder:{root}").notes
    assert len(notes) == 1 and "4 files" in notes[0]
    assert "2 .heic" in notes[0] and "1 .dcm" in notes[0] and "1 no suffix" in notes[0]
    assert load_table(f"folder:{classes(tmp_path / 'plain')}").notes == ()


@pytest.fixture
def images(tmp_path):
    for number in range(6):
        save(tmp_path / "photos" / f"{number}.png", seed=number)
    return tmp_path


def table(folder, rows, header="image,label", encoding="utf-8", separator=","):
    text = "\n".join([header, *rows]).replace(",", separator) + "\n"
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return f"csv:{folder / 't.csv'}"


def rows(labels, path="photos/{}.png"):
    return [f"{path.format(number)},{label}" for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_and_separators_of_spreadsheets(images, encoding, separator):
    source = table(images, rows("ababab"), encoding=encoding, separator=separator)
    loaded = load_table(source)
    assert loaded.class_names == ("a", "b") and loaded.labels.tolist() == [0, 1] * 3


def test_a_first_line_that_names_the_separator_is_no_header(images):
    words = "\n".join(["sep=;", "image;label", *rows("ababab")]).replace(",", ";")
    (images / "t.csv").write_text(words)
    assert load_table(f"csv:{images / 't.csv'}").labels.tolist() == [0, 1] * 3
    (images / "t.csv").write_text(words.replace("photos/1.png;b", "photos/1.png;nan"))
    with pytest.raises(DataError, match="line 4: the label"):
        load_table(f"csv:{images / 't.csv'}")


def test_another_encoding_is_named(images):
    source = table(images, rows(["Bär"] * 6), encoding="latin-1")
    with pytest.raises(DataError, match="Save it as CSV UTF-8"):
        load_table(source)


def test_backslashes_of_windows_find_their_files(images):
    loaded = load_table(table(images, rows("ababab", "photos\\{}.png")))
    assert np.array_equal(loaded.images[1], pixels_of(1))


def test_a_file_whose_name_holds_a_backslash_is_found_first(images):
    save(images / "photos\\0.png", seed=99)
    loaded = load_table(table(images, rows("ababab", "photos\\{}.png")))
    assert np.array_equal(loaded.images[0], pixels_of(99))


@pytest.mark.parametrize("missing", ["nan", "NaN", "<NA>", "#N/A", "null"])
def test_a_label_that_means_missing_is_questioned_by_line(images, missing):
    with pytest.raises(DataError, match="line 3: the label"):
        load_table(table(images, rows(["a", missing, "b", "a", "b", "a"])))


@pytest.mark.parametrize("pair", [("2", "2.0"), ("3", "03"), ("0.0", "-0")])
def test_one_number_written_in_two_ways_is_questioned(images, pair):
    with pytest.raises(DataError, match="are one number and would be two classes"):
        load_table(table(images, rows([*pair, "7"] * 2)))


def test_numbers_as_text_are_ordered_as_numbers(images):
    loaded = load_table(table(images, rows(["10.0", "2.0", "0.0"] * 2)))
    assert loaded.class_names == ("0.0", "2.0", "10.0")


def test_columns_and_folder_can_be_named(images):
    source = table(images, rows("ababab", "{}"), header="isic_id,diagnosis")
    with pytest.raises(DataError, match=r"data\.columns"):
        load_table(source)
    columns = ["image=isic_id", "label=diagnosis"]
    with pytest.raises(DataError, match=r"data\.folder"):
        load_table(source, columns)
    assert len(load_table(source, columns, str(images / "photos"))) == 6
    with pytest.raises(DataError, match="'colour=x'"):
        load_table(source, ["colour=x"])
    with pytest.raises(DataError, match="no column for the patient: expected 'who'"):
        load_table(source, [*columns, "patient=who"])


def test_columns_of_another_source_are_refused():
    with pytest.raises(DataError, match="csv:PATH"):
        load_table("digits", ["image=a"])


def test_a_folder_that_is_none_is_said(images, monkeypatch):
    monkeypatch.chdir(images.parent)  # a person's own photos may lie in the working directory
    with pytest.raises(DataError, match="is no folder"):
        load_table(table(images, rows("ababab")), (), str(Path(images) / "absent"))
    with pytest.raises(
        DataError, match=r"photos: .* is no folder \(seen from .*There is .*/photos"
    ):
        load_table(table(images, rows("ababab")), (), "photos")


def test_a_row_of_a_table_costs_few_bytes(tmp_path):
    """Two million rows of 300 bytes are 0.6 GB; an object per path and row would be several."""
    import tracemalloc

    count = 3000
    save(tmp_path / "photos" / "0.png", seed=0)
    for number in range(1, count):
        (tmp_path / "photos" / f"{number}.png").hardlink_to(tmp_path / "photos" / "0.png")
    source = table(tmp_path, rows(number % 7 for number in range(count)))
    load_table(source)
    tracemalloc.start()
    loaded = load_table(source)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(loaded) == count and loaded.image_name(2999).endswith("photos/2999.png")
    assert peak / count < 500 and kept / count < 200


def test_labels_that_are_fractions_of_their_own_are_questioned(tmp_path):
    for number in range(30):
        save(tmp_path / "photos" / f"{number}.png", seed=number)
    scores = [f"0.{number:02}1" for number in range(30)]
    with pytest.raises(DataError, match=r"the labels are fractions.*name another column"):
        load_table(table(tmp_path, rows(scores)))
    # Half stars are classes.
    stars = load_table(table(tmp_path, rows(["0.5", "1.5", "2.5"] * 10)))
    assert stars.class_names == ("0.5", "1.5", "2.5")


#: Other files under a table's name: how they begin, and what the message calls them.
OTHER_TABLES = {
    b"PK\x03\x04\x14\0": "Excel workbook",
    b"\xd0\xcf\x11\xe0\xa1\xb1": "old Excel workbook",
    b"PAR1\x15": "Parquet file",
    b"<!DOCTYPE html>": "HTML",
    b"version https://git-lfs.github.com/spec/v1\n": "Git LFS pointer",
}


@pytest.mark.parametrize("start", sorted(OTHER_TABLES))
def test_a_file_that_is_no_table_is_called_by_its_name(tmp_path, start):
    (tmp_path / "t.csv").write_bytes(start + bytes(40))
    with pytest.raises(DataError, match=OTHER_TABLES[start]):
        load_table(f"csv:{tmp_path / 't.csv'}")


def test_empty_lines_before_the_header_are_passed_over_and_counted(images):
    words = "\n".join(["", " ", "image,label", *rows("ababab")])
    (images / "t.csv").write_text(words)
    assert load_table(f"csv:{images / 't.csv'}").labels.tolist() == [0, 1] * 3
    (images / "t.csv").write_text(words.replace("photos/1.png,b", "photos/1.png,nan"))
    with pytest.raises(DataError, match="line 5: the label"):
        load_table(f"csv:{images / 't.csv'}")


def test_a_column_that_is_there_twice_is_questioned(images):
    source = table(images, [f"{row},z" for row in rows("ababab")], "image,label,Label")
    with pytest.raises(DataError, match="'label' more than once"):
        load_table(source)


def test_a_folder_beside_the_table_that_has_the_images_is_named_first(images):
    source = table(images, rows("ababab", "{}.png"))
    with pytest.raises(DataError) as caught:
        load_table(source)
    lines = str(caught.value).splitlines()
    assert len(lines) == 6 and "and 3 more" in lines[4]
    assert f"0.png is in {images / 'photos'}" in lines[5]


def test_a_message_about_labels_says_nothing_of_folders(images):
    with pytest.raises(DataError) as caught:
        load_table(table(images, rows(["a", "", "b", "a", "b", "a"])))
    assert "a row cannot be used" in str(caught.value) and "looked for" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"x_train": [0], "y_train": [1]},
            "no array 'images' in the file (it has x_train, y_train)",
        ),
        ({"labels": ["a", "", "b"]}, "'labels': 1 are empty; each image needs one"),
        ({"labels": [0, 1, 0], "class_names": ["a", "a"]}, "'class_names': a more than once"),
        (
            {"labels": ["a", "c", "a"], "class_names": ["a", "b"]},
            "'class_names': no c, which labels",
        ),
    ],
)
def test_npz_names_what_its_words_miss(tmp_path, arrays, words):
    images = {} if "x_train" in arrays else {"images": np.zeros((3, 4, 4, 3), np.uint8)}
    np.savez(tmp_path / "d.npz", **images, **arrays)
    with pytest.raises(DataError) as caught:
        load_table(f"npz:{tmp_path / 'd.npz'}")
    assert words in str(caught.value)
