"""Templates of competitions: what their columns ask for."""

from unicodedata import normalize

import numpy as np
import pytest

from efn_compose.errors import DataError
from efn_compose.jobs.predictions.submission import read_template

CLASSES = ["apps", "places", "things"]
IMAGES = ["x.png", "y.png"]
PROBABILITY = np.array([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]])


def filled(folder, text, classes=CLASSES):
    path = folder / "template.csv"
    path.write_text(text)
    template = read_template(path, IMAGES, classes)
    probability = PROBABILITY[:, : len(classes)]
    return template, template.fill(probability, probability.argmax(1), classes)


def test_an_accent_may_be_written_in_either_form_of_unicode(tmp_path):
    path = tmp_path / "template.csv"
    path.write_text("id,target\n" + normalize("NFC", "été") + ",\n", encoding="utf-8")
    template = read_template(path, [normalize("NFD", "photos/été.png")], CLASSES)
    assert template.places.tolist() == [0] and template.ids == (normalize("NFC", "été"),)


@pytest.mark.parametrize("shown", ["0.5", "0", "cat"])
def test_a_column_that_shows_no_class_is_not_given_names_of_classes(tmp_path, shown):
    with pytest.raises(DataError) as error:
        filled(tmp_path, f"id,target\nx,{shown}\ny,{shown}\n")
    for word in ("column target", shown, "of 3 classes", "apps, places, things"):
        assert word in str(error.value)


@pytest.mark.parametrize("shown", ["", "apps", "Things"])
def test_an_empty_column_and_one_of_names_get_the_predicted_class(tmp_path, shown):
    _, text = filled(tmp_path, f"id,target\ny,{shown}\nx,\n")
    assert text == "id,target\ny,things\nx,places\n"


def test_numbers_of_two_classes_ask_for_the_second_ones_probability(tmp_path):
    template, text = filled(tmp_path, "id,target\nx,0.5\ny,0.5\n", CLASSES[:2])
    assert text == "id,target\nx,0.5\ny,0.125\n"
    (note,) = template.notes
    assert note.startswith("column target gets the probability of places, the second class")
    # As the note advises where the first class is asked for.
    template, text = filled(tmp_path, "id,Apps\nx,0.5\ny,0.5\n", CLASSES[:2])
    assert text == "id,Apps\nx,0.25\ny,0.125\n" and template.notes == []


@pytest.mark.parametrize(("names", "shown"), [("01", "0"), (["0.0", "1.0"], "0.0")])
def test_noughts_of_classes_nought_and_one_ask_for_probabilities(tmp_path, names, shown):
    """pandas writes a column of labels that once had a gap as 0.0 and 1.0, templates too."""
    _, text = filled(tmp_path, f"id,target\nx,{shown}\ny,{shown}\n", list(names))
    assert text == "id,target\nx,0.5\ny,0.125\n"


def test_a_class_without_a_column_is_named(tmp_path):
    template, text = filled(tmp_path, "id,apps,places\nx,0,0\n")
    assert text == "id,apps,places\nx,0.25,0.5\n"
    assert template.notes == [
        "1 image is not in the template and not in the submission, such as y.png",
        "the template has no column for things",
    ]
    assert filled(tmp_path, "id,things,apps,places\nx,0,0,0\ny,0,0,0\n")[0].notes == []
    assert filled(tmp_path, "id,places\nx,0\ny,0\n", CLASSES[:2])[0].notes == []


def test_ids_may_be_the_end_of_a_path(tmp_path):
    path = tmp_path / "template.csv"
    images = ["data/test/a/1.png", "data/test/b/1.png", "data/test/b/2.png"]
    path.write_text("id,apps\nb/1.png,0\na/1.png,0\n2,0\n")
    assert read_template(path, images, CLASSES).places.tolist() == [1, 0, 2]
    path.write_text("id,apps\n1.png,0\nest/b/2.png,0\n")
    with pytest.raises(DataError) as error:
        read_template(path, images, CLASSES)
    assert "1 id fits several images, such as 1.png" in str(error.value)
    assert "1 id has no image, such as est/b/2.png" in str(error.value)
