"""The folds verb and its table: what is written is read, duplicates are found, joined or refused."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from efn_compose.cli import main
from efn_compose.data import load_table
from efn_compose.data.folding.duplicates import equal_pairs, join_duplicates
from efn_compose.data.folding.fold_table import read_fold_table, write_fold_table
from efn_compose.data.folding.folds import make_folds
from efn_compose.errors import DataError


@pytest.fixture
def lesions(tmp_path):
    """A table of 40 images of 20 patients; images 3 and 30 have equal pixels."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        pixels = rng.integers(0, 256, (9, 9, 3), np.uint8)
        if number == 30:
            pixels = np.asarray(Image.open(tmp_path / "bild 3 ø.png"))
        Image.fromarray(pixels).save(tmp_path / f"bild {number} ø.png")
        label = "мелaнома" if number % 8 < 2 else "naevus, benign"
        rows.append((f"bild {number} ø.png", label, f"IP {number // 2}"))
    with open(tmp_path / "lesions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "label", "patient"), *rows])
    return tmp_path / "lesions.csv"


def test_a_written_table_is_read_back_and_another_set_is_refused(lesions, tmp_path):
    table = load_table(f"csv:{lesions}")
    folds = make_folds(table, 4, seed=2)
    path = tmp_path / "folds.csv"
    write_fold_table(table, folds.fold, path)
    again = read_fold_table(table, path)
    np.testing.assert_array_equal(again.fold, folds.fold)
    assert again.quality == folds.quality
    with open(path, encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["number", "image", "patient", "label", "class", "fold"]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows[::-1]])
    np.testing.assert_array_equal(read_fold_table(table, path).fold, folds.fold)

    def refused(changed, words):
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(changed)
        with pytest.raises(DataError, match=words):
            read_fold_table(table, path)

    refused([header, *rows[1:]], "1 images are in no row, such as image 0")
    refused([header, *rows, rows[5]], "row 42: image 5 again")
    refused([header, ["40", *rows[0][1:]], *rows[1:]], "image 40, but")
    refused([header, [*rows[0][:2], "IP 7", *rows[0][3:]], *rows[1:]], "'IP 7'")
    refused([header, [*rows[0][:5], "x"], *rows[1:]], "must be whole numbers")
    refused([header, *([*row[:5], str(2 * int(row[5]))] for row in rows)], "in fold 1, 3")
    refused([header[:3], *rows], "expected the columns")
    with pytest.raises(DataError, match="no such file"):
        read_fold_table(table, tmp_path / "absent.csv")


def test_a_table_that_parts_a_patient_is_refused(lesions, tmp_path):
    table = load_table(f"csv:{lesions}")
    fold = make_folds(table, 4, seed=2).fold.copy()
    # Images 0 and 1 are of one patient.
    fold[1] = (fold[0] + 1) % 4
    write_fold_table(table, fold, tmp_path / "folds.csv")
    with pytest.raises(DataError, match=r"1 patients are in more than one fold.*efn-compose folds"):
        read_fold_table(table, tmp_path / "folds.csv")


def test_a_table_fits_images_that_moved_together(lesions, tmp_path):
    path = tmp_path / "folds.csv"
    table = load_table(f"csv:{lesions}")
    fold = make_folds(table, 4, seed=2).fold
    write_fold_table(table, fold, path)
    moved = tmp_path / "elsewhere" / "far"
    moved.mkdir(parents=True)
    for file in [lesions, *tmp_path.glob("*.png")]:
        file.rename(moved / file.name)
    there = load_table(f"csv:{moved / lesions.name}")
    assert there.image_name(0) != table.image_name(0)
    np.testing.assert_array_equal(read_fold_table(there, path).fold, fold)
    # One image of another name, or of another folder, is another image.
    text = path.read_text(encoding="utf-8")
    for name in ("bild 7 ø.png", "bild 0 ø.png"):
        path.write_text(text.replace(name, f"other/{name}"), encoding="utf-8")
        with pytest.raises(DataError, match="no folds of"):
            read_fold_table(there, path)


def test_a_table_fits_images_named_from_another_folder(tmp_path, monkeypatch):
    """Of "photos/a/0.png" and "/home/me/photos/a/0.png" one path is the end of the other."""
    for number in range(12):
        file = tmp_path / "home" / "photos" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(file)
    fold = np.arange(12) % 3
    sources = {
        tmp_path: ("folder:home/photos", f"folder:{tmp_path}/home/photos"),
        tmp_path / "home": ("folder:photos", "folder:../home/photos"),
        tmp_path / "home" / "photos": ("folder:.",),
    }
    named = {}
    for place, words in sources.items():
        monkeypatch.chdir(place)
        for word in words:
            named[word] = place, load_table(word)
            write_fold_table(named[word][1], fold, tmp_path / f"{len(named)}.csv")
    for place, table in named.values():
        monkeypatch.chdir(place)
        for number in range(1, len(named) + 1):
            found = read_fold_table(table, tmp_path / f"{number}.csv").fold
            np.testing.assert_array_equal(found, fold)


def test_the_verb_writes_table_and_quality_and_lists_duplicates(lesions, tmp_path, capsys):
    path = tmp_path / "folds.csv"
    command = ["folds", f"csv:{lesions}", "--count", "4"]
    # A seed that parts images 3 and 30.
    assert main([*command, "-o", str(path), "--seed", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    folds = read_fold_table(load_table(f"csv:{lesions}"), path)
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == said
    assert said["quality"]["leaked"] == 0
    assert folds.fold[3] != folds.fold[30], "choose another seed"
    (pair,) = said["duplicates"]
    assert [name.rpartition("/")[2] for name in pair["images"]] == ["bild 3 ø.png", "bild 30 ø.png"]
    assert pair["folds"] == [folds.fold[3], folds.fold[30]]

    assert main([*command, "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert "variation over folds" in text and "equal pixels" in text
    assert main([*command, "--seed", "1", "--duplicates", "refuse"]) == 1
    assert "1 pair of equal images in two folds" in capsys.readouterr().err
    for seed in range(4):
        more = ["--seed", str(seed), "--duplicates", "join", "-o", str(path), "--json"]
        assert main([*command, *more]) == 0
        assert json.loads(capsys.readouterr().out)["duplicates"] == []
        fold = read_fold_table(load_table(f"csv:{lesions}"), path).fold
        # The duplicates' patients moved as a whole.
        assert len({int(fold[n]) for n in (2, 3, 30, 31)}) == 1
    assert main([*command, "--worst-rate", "0.0001", "-o", str(tmp_path / "no.csv")]) == 1
    assert "not good enough" in capsys.readouterr().err
    assert not (tmp_path / "no.csv").exists() and not (tmp_path / "no.json").exists()


def test_the_verb_refuses_or_skips_what_cannot_be_decoded(lesions, tmp_path, capsys):
    (tmp_path / "bild 5 ø.png").write_bytes(b"no image")
    command = ["folds", f"csv:{lesions}", "--count", "4", "--json"]
    assert main(command) == 1
    assert "1 of 40 images cannot be decoded" in capsys.readouterr().err
    assert main([*command, "--skip-unreadable", "0.05"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["left_out"]) == 1 and "bild 5 ø.png" in said["left_out"][0]
    assert sum(said["quality"]["images"]) == 39
    assert main(["folds", "digits", "--count", "1", "--size", "3"]) == 2
    assert "--count must be 2 or more" in capsys.readouterr().err


def test_features_of_a_network_find_what_pixels_do_not(lesions, tmp_path, capsys):
    from random_donors import random_donor

    # The twin of image 3, one grey level brighter: other pixels, the same picture.
    pixels = np.asarray(Image.open(tmp_path / "bild 3 ø.png")).astype(int)
    Image.fromarray(np.clip(pixels + 1, 0, 255).astype(np.uint8)).save(tmp_path / "bild 30 ø.png")
    random_donor("b-w0.1-d0.3", classes=None).save(tmp_path / "nano.h5")
    command = ["folds", f"csv:{lesions}", "--count", "4", "--seed", "1", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["duplicates"] == []
    more = ["--weights", str(tmp_path / "nano.h5"), "--size", "32", "--threshold", "0.99"]
    assert main([*command, *more]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["duplicates"]
    assert [name.rpartition("/")[2] for name in pair["images"]] == ["bild 3 ø.png", "bild 30 ø.png"]
    assert 0.99 <= pair["cosine"] < 1


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=6),
)
def test_joining_is_the_transitive_closure(groups, pairs):
    pairs = [(a % len(groups), b % len(groups)) for a, b in pairs]
    found = join_duplicates(np.array(groups), pairs, len(groups))
    # Brute force: spread until nothing changes.
    linked = np.equal.outer(groups, groups)
    for a, b in pairs:
        linked[a, b] = linked[b, a] = True
    for _ in groups:
        linked = (linked.astype(int) @ linked) > 0
    np.testing.assert_array_equal(np.equal.outer(found, found), linked)


def test_equal_pairs_join_all_that_are_equal():
    digests = list("abcabca")
    joined = join_duplicates(None, equal_pairs(digests), 7)
    np.testing.assert_array_equal(np.equal.outer(joined, joined), np.equal.outer(digests, digests))
