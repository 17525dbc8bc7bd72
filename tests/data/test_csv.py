"""Tables of images: columns, rows, and words that mean a missing value."""

from pathlib import Path
from unicodedata import normalize

import pytest
from PIL import Image

from efn_compose.data import load_table
from efn_compose.errors import DataError


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), (200, 30, 40)).save(path)


def write_csv(tmp_path, text: str, encoding="utf-8") -> str:
    (tmp_path / "train.csv").write_text(text, encoding=encoding)
    return f"csv:{tmp_path / 'train.csv'}"


def test_csv_in_the_manner_of_isic(tmp_path):
    """Names without suffix, a byte-order mark, foreign columns, images in a folder beside it."""
    for number in range(3):
        save(tmp_path / "train" / f"ISIC_{number}.jpg")
    source = write_csv(
        tmp_path,
        "image_name,patient_id,sex,Target\nISIC_2,IP_9,male,1\nISIC_0,IP_1,female,0\n"
        'ISIC_1,IP_9,"ma,le",0\n',
        encoding="utf-8-sig",
    )
    table = load_table(source)
    assert [path.name for path in table.images.paths] == ["ISIC_2.jpg", "ISIC_0.jpg", "ISIC_1.jpg"]
    assert table.labels.tolist() == [1, 0, 0]
    assert table.groups.tolist() == [1, 0, 1]
    assert table.class_names == ("0", "1")


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_found_in_either_form_of_unicode(tmp_path, on_disk, in_table):
    for name in ("été", "naevus"):
        save(tmp_path / f"{normalize(on_disk, name)}.png")
    text = normalize(in_table, "image,label\nété.png,a\nnaevus,b\n")
    table = load_table(write_csv(tmp_path, text))
    assert [table.images[number].shape for number in range(2)] == [table.images[1].shape] * 2
    assert table.labels.tolist() == [0, 1]


def test_csv_lists_every_bad_row_by_line(tmp_path):
    save(tmp_path / "a.png")
    source = write_csv(
        tmp_path,
        "path,label,patient\na.png,x,1\nb.png,y,1\na.png,x,2\n\na.png,,3\n,z,4\na.png,x,\nshort\n",
    )
    with pytest.raises(DataError) as caught:
        load_table(source)
    message = str(caught.value)
    for part in (
        "line 3: no file b.png",
        "line 4: a.png again, first on line 2",
        "line 6: no label",
        "line 7: no image",
        "line 8: no patient",
        "line 9: 1 fields",
    ):
        assert part in message


@pytest.mark.parametrize("word", ["nan", "NA", "N/A", "null"])
def test_a_word_for_a_missing_value_is_no_patient(tmp_path, word):
    for name in "ab":
        save(tmp_path / f"{name}.png")
    source = write_csv(tmp_path, f"path,label,patient\na.png,x,{word}\nb.png,y,7\n")
    with pytest.raises(DataError, match="line 2: no patient"):
        load_table(source)
    # As a class, NA may be sodium.
    assert "NA" in load_table(write_csv(tmp_path, "path,label\na.png,NA\nb.png,y\n")).class_names


def test_a_suffix_that_is_left_out_may_have_capitals(tmp_path):
    for name in ("a.JPG", "b.PNG"):
        save(tmp_path / name)
    table = load_table(write_csv(tmp_path, "path,label\na,x\nb,y\n"))
    assert [path.name for path in table.images.paths] == ["a.JPG", "b.PNG"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("picture,kind\na,b\n", "image or path or image_name"),
        ("image:label\na:b\n", "received: image:label"),
        ("", "empty first line"),
        ("image,label\n", "no rows"),
    ],
)
def test_csv_header_faults(tmp_path, text, hint):
    with pytest.raises(DataError, match=hint):
        load_table(write_csv(tmp_path, text))


def test_a_doubled_column_is_refused_also_where_another_one_is_named(tmp_path):
    save(tmp_path / "a.png")
    source = write_csv(tmp_path, "id,label,label\na.png,x,y\n")
    with pytest.raises(DataError, match="'label' more than once"):
        load_table(source, ["image=id"])


def test_a_column_of_very_long_texts_costs_no_image(tmp_path):
    for number in range(2):
        save(tmp_path / f"{number}.png")
    text = f'image,label,notes\n0,a,"{"x" * 200_000}"\n1,b,short\n'
    assert load_table(write_csv(tmp_path, text)).class_names == ("a", "b")


@pytest.mark.parametrize("needs_labels", [True, False])
def test_one_patient_written_in_two_ways_is_questioned(tmp_path, needs_labels):
    """Two tables of pandas put together: half of the numbers were read as fractions."""
    patients = ["1", "2", "1.0", "2.0", "3", "4"]
    lines = [f"{n},{'ab'[n % 2]},{patient}\n" for n, patient in enumerate(patients)]
    for number in range(6):
        save(tmp_path / f"{number}.png")
    source = write_csv(tmp_path, "image,label,patient_id\n" + "".join(lines))
    with pytest.raises(DataError, match=r"the patients '1' and '1\.0' are one number") as caught:
        load_table(source, needs_labels=needs_labels)
    assert "'2' and '2.0' are one number and would be two patients" in str(caught.value)
