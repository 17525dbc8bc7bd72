"""Sources where labels are welcome, but not needed."""

import numpy as np
import pytest
from PIL import Image

from efn_compose.data import load_table
from efn_compose.errors import DataError


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (5, 4), grey).save(path)


def found(source):
    """Return the grey value and the class of every image."""
    table = load_table(source, needs_labels=False)
    names = [table.class_names[label] if label >= 0 else None for label in table.labels]
    return [(int(table.images[n][0, 0, 0]), name) for n, name in enumerate(names)]


def test_a_plain_folder(tmp_path):
    save(tmp_path / "b.png", 2)
    save(tmp_path / "a.png", 1)
    save(tmp_path / "deep" / "er" / "c.png", 3)
    assert found(f"folder:{tmp_path}") == [(1, None), (2, None), (3, None)]
    with pytest.raises(DataError, match="3 of 3 images have no label, the first is"):
        load_table(f"folder:{tmp_path}", needs_labels=False).all_labelled()
    with pytest.raises(DataError, match="at least two subfolders"):
        load_table(f"folder:{tmp_path}")


def test_folders_of_classes_keep_them_and_what_lies_beside_has_none(tmp_path):
    save(tmp_path / "cat" / "1.png", 1)
    save(tmp_path / "dog" / "deep" / "2.png", 2)
    save(tmp_path / "x.png", 3)
    assert found(f"folder:{tmp_path}") == [(1, "cat"), (2, "dog"), (3, None)]


def test_the_parts_of_a_split_are_no_classes(tmp_path):
    for part in ("train", "test"):
        for grey, name in enumerate(("cat", "dog")):
            save(tmp_path / part / name / "1.png", grey)
    assert found(f"folder:{tmp_path}") == [(0, None), (1, None)] * 2


def test_an_archive_without_labels(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.full((2, 4, 4, 3), 9, np.uint8))
    assert found(f"npz:{tmp_path / 'a.npz'}") == [(9, None), (9, None)]
    with pytest.raises(DataError, match="no array 'labels'"):
        load_table(f"npz:{tmp_path / 'a.npz'}")


def test_a_table_without_labels_and_with_some(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png", number)
    (tmp_path / "t.csv").write_text("image\n2.png\n0.png\n")
    assert found(f"csv:{tmp_path / 't.csv'}") == [(2, None), (0, None)]
    (tmp_path / "s.csv").write_text("image,label\n2.png,b\n1.png,\n0.png,NaN\n")
    assert found(f"csv:{tmp_path / 's.csv'}") == [(2, "b"), (1, None), (0, None)]
    with pytest.raises(DataError, match="no column for the label"):
        load_table(f"csv:{tmp_path / 't.csv'}")
