"""What files tell of their classes, before anybody looks at the pictures."""

import numpy as np
from PIL import Image

from efn_compose.assess.prediction_store import RowTable
from efn_compose.jobs.ensembles.labelled import already_labelled, told_by_files


def test_files_that_are_larger_in_one_class_are_named_and_others_are_not(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 120)
    paths = []
    for number, is_second in enumerate(label):
        # All have 64 pixels; noise takes more bytes than one colour.
        pixels = rng.integers(0, 256 if is_second else 2, (8, 8, 3), dtype=np.uint8)
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])

    def told(names, labels):
        rows = RowTable(tuple(names), ("",) * 120, labels, np.arange(120) % 3, ("a", "b"))
        return told_by_files(rows)

    (words,) = told(paths, label)
    assert words.startswith("The size of the file tells the classes")
    assert told(paths, rng.permutation(label)) == []
    assert told([f"{n}" for n in range(120)], label) == []
    # A table may list the second class first.
    assert told([f"{n}" for n in range(120)], np.sort(label)[::-1]) == []
    # Nearly class by class, as nobody's source lists them by itself.
    ordered = np.sort(label)
    ordered[[0, -1]] = ordered[[-1, 0]]
    (words,) = told([f"{n}" for n in range(120)], ordered)
    assert words.startswith("The order of the rows")


def test_images_that_the_trainings_have_learnt_from_are_named(tmp_path, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"")
    rows = RowTable(("a.png", "b.png"), ("", ""), np.array([0, 1]), np.array([0, 0]), ("x", "y"))
    monkeypatch.chdir(tmp_path)
    # Elsewhere said otherwise, and still the same file.
    (note,) = already_labelled(rows, [str(tmp_path / "b.png"), "c.png"])
    assert note.startswith("1 of 2 images to predict are labelled images of these trainings")
    assert str(tmp_path / "b.png") in note
    assert already_labelled(rows, ["c.png"]) == []
    # Numbers of an array are no files: those of two arrays are alike and say nothing.
    numbers = RowTable(("0", "1"), ("", ""), np.array([0, 1]), np.array([0, 0]), ("x", "y"))
    assert already_labelled(numbers, ["0", "1"]) == []
