"""What both contestants made of the test images: true counts, honest pictures, damage survived."""

import base64
import json
import shutil

import numpy as np
import pytest
from page_checks import Page
from report_runs import MadeUpRun
from sklearn.metrics import confusion_matrix

from efn_compose.analysis.charts.chart_predictions import CELL_SHARE
from efn_compose.analysis.html.palette import DARK, LIGHT, contrast
from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.analysis.reading.predictions_view import read_predictions
from efn_compose.data import DataSet
from efn_compose.evolve.verdict.predictions import (
    CASES,
    SAMPLES_PER_CASE,
    Predictions,
    describe_predictions,
)

HOSTILE = '<script>alert(1)</script>" onerror=x'
NAMES = (HOSTILE, *(f"class {n}" for n in range(1, 5)))


@pytest.fixture(scope="module")
def answers():
    """Random images with labels and the answers of two contestants, right more or less often."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200).astype(np.int32)
    images = rng.integers(0, 255, (200, 80, 80, 3), dtype=np.uint8)
    found = {}
    for name, rate in (("lite1", 0.6), ("composed", 0.8)):
        guess = rng.integers(0, 5, 200)
        said = np.where(rng.random(200) < rate, labels, guess).astype(np.int32)
        found[name] = {"predicted": said, "confidence": rng.random(200).astype(np.float32)}
    none = np.zeros((0, 80, 80, 3), np.uint8), np.zeros(0, np.int32)
    data = DataSet("made up", NAMES, *none, *none, images, labels, split=None)
    return data, Predictions("lite1", "composed", 1, found)


@pytest.fixture
def folder(answers, tmp_path):
    data, predictions = answers
    made = MadeUpRun(generations=1, population=6, class_names=NAMES).search().finals()
    path = made.write(tmp_path / "run")
    described = describe_predictions(predictions, data)
    (path / "predictions.json").write_text(json.dumps(described))
    return path


def test_confusion_is_scikit_learns(answers):
    data, predictions = answers
    described = describe_predictions(predictions, data)
    for name, answer in predictions.answers.items():
        expected = confusion_matrix(data.test_labels, answer["predicted"])
        assert described["arms"][name]["confusion"] == expected.tolist()


def test_samples_are_of_the_case_they_stand_under(answers):
    data, predictions = answers
    samples = describe_predictions(predictions, data)["samples"]
    assert [s["case"] for s in samples] == [c for c in CASES for _ in range(SAMPLES_PER_CASE)]
    for sample in samples:
        donor, challenger = (number == sample["label"] for number in sample["predicted"])
        assert (donor, challenger) == {
            CASES[0]: (False, True), CASES[1]: (True, False), CASES[2]: (False, False),
        }[sample["case"]]  # fmt: skip
        assert data.test_labels[sample["image"]] == sample["label"]


def test_page_shows_counts_and_pictures_and_class_names_as_text(folder, answers):
    data, predictions = answers
    page = Page(render_report(read_run(folder))).check()
    for answer in predictions.answers.values():
        right = int((answer["predicted"] == data.test_labels).sum())
        assert f"{right} of 200 test images right" in page.text
    assert len(page.find("img")) == 3 * SAMPLES_PER_CASE
    assert HOSTILE in {fields.get("title") for fields in page.find("th")}


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: f.clear(),
        lambda f: f.update(arms=[]),
        lambda f: f["arms"]["composed"].update(confusion=[[1, 2], [3, 4]]),
        lambda f: f["arms"]["composed"].update(confusion=[[-1] * 5] * 5),
        lambda f: f["samples"][0].update(label=77),
        lambda f: f["samples"][0].update(predicted=[0]),
        lambda f: f.update(samples=3),
    ],
)
def test_damaged_predictions_are_left_out(folder, damage):
    path = folder / "predictions.json"
    found = json.loads(path.read_text())
    damage(found)
    path.write_text(json.dumps(found))
    assert read_predictions(folder, 5) is None
    assert "Predictions" not in Page(render_report(read_run(folder))).check().text


def test_what_is_no_picture_is_not_shown(folder):
    path = folder / "predictions.json"
    found = json.loads(path.read_text())
    found["samples"][0]["png"] = base64.b64encode(b"<svg onload=alert(1)>").decode()
    found["samples"][1]["png"] = 'x" onerror="alert(1)'
    path.write_text(json.dumps(found))
    page = Page(render_report(read_run(folder))).check()
    assert len(page.find("img")) == 3 * SAMPLES_PER_CASE - 2


def test_a_run_without_predictions_is_drawn_without_them(folder, tmp_path):
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "predictions.json").unlink()
    Page(render_report(read_run(bare))).check()


def test_many_classes_give_a_list_of_confusions(folder):
    names = [f"class {n}" for n in range(40)]
    counts = np.eye(40, dtype=int) * 5
    counts[3, 7] = 4
    found = json.loads((folder / "predictions.json").read_text())
    found["arms"] = {name: {"confusion": counts.tolist()} for name in ("lite1", "composed")}
    (folder / "predictions.json").write_text(json.dumps(found))
    data = json.loads((folder / "data.json").read_text())
    data |= {"class_names": names, "counts": {"train": [9] * 40}}
    (folder / "data.json").write_text(json.dumps(data))
    text = Page(render_report(read_run(folder))).check().text
    assert "class 3 class 7 4 44 %" in text


def _mix(first, second, share):
    """Mix two colours as CSS color-mix does in sRGB."""
    parts = [
        round(int(a, 16) * share + int(b, 16) * (1 - share))
        for a, b in ((first[i : i + 2], second[i : i + 2]) for i in (1, 3, 5))
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("colour", ["accent", "mark"])
def test_counts_are_readable_on_every_cell(theme, colour):
    for percent in range(CELL_SHARE + 1):
        cell = _mix(theme[colour], theme["paper"], percent / 100)
        assert contrast(theme["ink"], cell) >= 4.5
