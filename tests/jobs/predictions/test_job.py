"""`efn-compose predict`: rows of one and of several networks, on the images of their training and others."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from random_donors import TINY, random_donor
from tiny_recipe import quarters, tiny_donor
from tiny_runs import train_tiny

import efn_compose
from efn_compose.cli import main
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.errors import ConfigError, DataError, RunError
from efn_compose.evolve.options import ExecutorOptions
from efn_compose.jobs.predictions import batch, stream
from efn_compose.jobs.predictions.job import prepare_prediction
from efn_compose.jobs.predictions.submission import read_template
from efn_compose.jobs.trainings.answers import read_answers

COUNT = 48


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictions")
    tiny_donor().save(folder / "tiny.h5")
    images, labels = quarters(COUNT)
    np.savez(folder / "images.npz", images=images, labels=labels)
    np.savez(folder / "halves.npz", images=images, labels=labels % 2, class_names=["left", "image"])
    return folder


@pytest.fixture(scope="module")
def folds(place):
    """Two networks of four classes that look at each image in two ways."""
    return train_tiny(place, "folds", "images.npz", validation__folds=2, tta__views="flip").folder


@pytest.fixture(scope="module")
def single(place):
    """One network of two classes with a head that no weight file holds, its best epoch kept."""
    changes = {"train__hidden_units": "[8]", "train__keep": "best", "tta__views": "drawn"}
    run = train_tiny(place, "single", "halves.npz", tta__count=3, **changes)
    # The scores are those of these weights.
    assert run.weights == run.folder / "best.h5"
    return run.folder


def _rows(path):
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    numbers = np.array([[float(value) for value in row[1:-2]] for row in rows], np.float32)
    return header, numbers, [row[0] for row in rows], [row[-2] for row in rows], rows


def _part(place, source, numbers, name):
    """Write some images of a source as a source of their own, and return it."""
    with np.load(place / source) as file:
        parts = {key: file[key] for key in file.files}
    parts["images"], parts["labels"] = parts["images"][numbers], parts["labels"][numbers]
    parts.setdefault("class_names", np.array(list("0123")))
    np.savez(place / name, **parts)
    return f"npz:{place / name}"


@pytest.mark.slow
@pytest.mark.parametrize("fold", [0, 1])
def test_a_training_answers_again_as_it_answered_bit_for_bit(place, folds, fold):
    training = folds / "trainings" / f"b-tiny_fold{fold}_seed1"
    numbers, wanted = read_answers(training)
    source = _part(place, "images.npz", numbers, f"part{fold}.npz")
    found = efn_compose.predict(training, source, place / f"part{fold}.csv")
    header, probability, _, predicted, _ = _rows(found.table)
    assert header == ["image", "0", "1", "2", "3", "predicted", "spread"]
    assert np.array_equal(probability, wanted)
    assert predicted == [str(row.argmax()) for row in wanted]
    assert found.counts == {name: predicted.count(name) for name in "0123"}


@pytest.mark.slow
def test_a_head_beside_the_file_and_drawn_views_answer_bit_for_bit(place, single):
    numbers, wanted = read_answers(single)
    source = _part(place, "halves.npz", numbers, "validation.npz")
    found = efn_compose.predict([single / "best.h5"], source, place / "single.parquet")
    from pyarrow import parquet

    table = parquet.read_table(found.table).to_pydict()
    # A class called "image" would be a second column of that name.
    assert list(table) == ["image", "left", "class image", "predicted", "spread"]
    assert np.array_equal(np.array(table["left"], np.float32), wanted[:, 0])
    assert np.array_equal(np.array(table["class image"], np.float32), wanted[:, 1])
    assert max(table["spread"]) > 0


@pytest.mark.slow
def test_several_networks_are_averaged_and_their_spread_is_told(place, folds, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 20)  # 48 images pass in three chunks
    source = f"npz:{place / 'images.npz'}"
    each = []
    for fold in (0, 1):
        training = folds / "trainings" / f"b-tiny_fold{fold}_seed1"
        efn_compose.predict(training, source, place / "one.csv", tta=1)
        each.append(_rows(place / "one.csv")[1].astype(np.float64))
    code = main(["predict", str(folds), "--data", source, "--tta", "1", "-o", str(place / "a.csv")])
    assert code == 0
    _, probability, names, predicted, rows = _rows(place / "a.csv")
    assert names == [str(number) for number in range(COUNT)]
    assert probability == pytest.approx(np.mean(each, axis=0), abs=1e-7)
    best = probability.argmax(axis=1)
    assert predicted == [str(number) for number in best]
    apart = np.abs(each[0] - each[1])[np.arange(COUNT), best] / 2
    assert [float(row[-1]) for row in rows] == pytest.approx(apart, abs=1e-6)


@pytest.mark.slow
def test_workers_write_the_same_rows(place, folds, monkeypatch, tmp_path):
    monkeypatch.setattr(batch, "CHUNK", 20)
    monkeypatch.setattr(stream, "CHUNK", 20)
    source = f"npz:{place / 'images.npz'}"
    alone = efn_compose.predict(folds, source, tmp_path / "alone.csv").table
    options = ExecutorOptions(kind="serial")
    shared = efn_compose.predict(folds, source, tmp_path / "shared.csv", executor=options).table
    assert alone.read_bytes() == shared.read_bytes()
    (tmp_path / "new").mkdir()
    for number in range(45):
        file = tmp_path / "new" / f"{number}.png"
        file.write_bytes(b"") if number in (3, 41) else Image.new("RGB", (9, 9)).save(file)
    with pytest.raises(DataError, match="2 of 45 images"):
        new = f"folder:{tmp_path / 'new'}"
        efn_compose.predict(folds, new, tmp_path / "t.csv", executor=options)
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.slow
def test_temperature_and_threshold_of_the_training_are_applied_by_choice(place, single, capsys):
    source = f"npz:{place / 'halves.npz'}"
    words = ["predict", str(single), "--data", source, "--tta", "1", "--json"]
    assert main([*words, "--quiet", "-o", str(place / "plain.csv")]) == 0
    capsys.readouterr()
    more = ["--temperature", "--threshold", "sensitivity=0.9", "-o", str(place / "chosen.csv")]
    assert main([*words, *more]) == 0
    said = capsys.readouterr()
    fields = json.loads(said.out)
    divisor, level = fields["temperatures"][0], fields["threshold"]
    assert f"{divisor:.3f}" in said.err and f"{level:.4f}" in said.err
    plain, chosen = _rows(place / "plain.csv")[1], _rows(place / "chosen.csv")
    odds = np.log(plain[:, 1] / plain[:, 0])
    assert chosen[1][:, 1] == pytest.approx(1 / (1 + np.exp(-odds / divisor)), abs=1e-5)
    names = ["left", "image"]
    assert chosen[3] == [names[int(value >= level)] for value in chosen[1][:, 1]]
    # Nine in ten of the positives that the training had not seen are found.
    numbers, answered = read_answers(single)
    tempered = 1 / (1 + np.exp(-np.log(answered[:, 1] / answered[:, 0]) / divisor))
    assert (tempered[numbers % 2 == 1] >= level - 1e-6).mean() >= 0.9


@pytest.mark.slow
def test_images_without_labels_fill_a_template_in_its_own_order(place, single, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    with np.load(place / "halves.npz") as file:
        for number in range(5):
            Image.fromarray(file["images"][number]).save(tmp_path / "new" / f"ISIC_{number}.png")
    (tmp_path / "template.csv").write_text("image_name,target\nISIC_3,0\nISIC_1,0\nISIC_4,0\n")
    words = ["predict", str(single), "--data", f"folder:{tmp_path / 'new'}", "--size", "16"]
    words += ["--submission", str(tmp_path / "template.csv"), "-o", str(tmp_path / "table.csv")]
    assert main(words) == 0
    assert "2 images are not in the template" in capsys.readouterr().err
    _, probability, names, _, _ = _rows(tmp_path / "table.csv")
    assert [name[-10:] for name in names] == [f"ISIC_{number}.png" for number in range(5)]
    header, *filled = csv.reader((tmp_path / "submission.csv").read_text().splitlines())
    assert header == ["image_name", "target"]
    assert [row[0] for row in filled] == ["ISIC_3", "ISIC_1", "ISIC_4"]
    assert [np.float32(row[1]) for row in filled] == [probability[n, 1] for n in (3, 1, 4)]


def test_classes_that_differ_in_their_case_alone_keep_their_columns(tmp_path):
    (tmp_path / "template.csv").write_text("id,a,A,B\nx,0,0,0\n")
    found = read_template(tmp_path / "template.csv", ["x.png"], ["A", "a", "b"])
    assert found.wants == (1, 0, 2)


@pytest.mark.slow
def test_a_file_that_was_copied_away_knows_its_size_and_its_classes(place, folds, tmp_path):
    original = folds / "trainings" / "b-tiny_fold0_seed1" / "last.h5"
    source = _part(place, "images.npz", range(8), "eight.npz")
    shutil.copy(original, tmp_path / "copy.h5")
    for file in (original, tmp_path / "copy.h5"):
        efn_compose.predict(file, source, tmp_path / f"{file.stem}.csv", tta=1)
    assert (tmp_path / "copy.csv").read_bytes() == (tmp_path / "last.csv").read_bytes()
    donor = efn_compose.load_donor(original)
    names = ("north", "west", "east", "south")
    donor.replace(provenance=TrainedFor(16, names).added_to({})).save(tmp_path / "named.h5")
    efn_compose.predict(tmp_path / "named.h5", source, tmp_path / "named.csv")
    assert _rows(tmp_path / "named.csv")[0][1:5] == list(names)
    # Another size than the training's is said, whoever wrote it down.
    for file in (original, tmp_path / "named.h5"):
        same, other = (
            prepare_prediction([str(file)], source, tmp_path / "o.csv", size=n) for n in (16, 24)
        )
        words = "images are asked about at 24 pixels; the training was at 16"
        assert words in other.notes and words not in same.notes
    # Whatever classifier comes next, its classes are others. What the backbone has learnt from stays.
    bare = dict(donor.without_head().provenance)
    assert bare.pop("labelled_images") and bare == tiny_donor().provenance
    with_new_head = random_donor(TINY, 1, classes=3).replace(provenance=donor.provenance)
    with_new_head.save(tmp_path / "three.h5")
    with pytest.raises(ConfigError, match="--size N"):
        efn_compose.predict(tmp_path / "three.h5", source, tmp_path / "three.csv")


@pytest.mark.slow
def test_a_run_that_has_not_ended_knows_its_classes(place, folds, tmp_path):
    begun = shutil.copytree(folds, tmp_path / "begun")
    for file in begun.glob("out_of_fold.*"):
        file.unlink()
    with np.load(place / "images.npz") as file:
        parts = {key: file[key][:8] for key in ("images", "labels")}
    # The new images lie in folders whose names are none of the classes.
    np.savez(tmp_path / "new.npz", **parts, class_names=["anna", "ben", "cleo", "dan"])
    found = efn_compose.predict(begun, f"npz:{tmp_path / 'new.npz'}", tmp_path / "new.csv", tta=1)
    assert _rows(found.table)[0][1:5] == list("0123")


@pytest.mark.slow
def test_what_cannot_predict_is_named_before_anything_is_written(place, folds, single, tmp_path):
    source = f"npz:{place / 'images.npz'}"
    table = tmp_path / "t.csv"
    with pytest.raises(ConfigError) as caught:
        efn_compose.predict([folds, single, place / "tiny.h5", tmp_path], source, table)
    told = str(caught.value)
    for words in ("no classifier", "no run folder", "different classes", "left, image"):
        assert words in told
    with pytest.raises(ConfigError, match="two classes"):
        efn_compose.predict(folds, source, table, threshold="youden")
    (tmp_path / "template.csv").write_text("id,0,9\nISIC_1,0,0\n3,0,0\n3,0,0\n")
    with pytest.raises(DataError) as caught:
        efn_compose.predict(folds, source, table, submission=tmp_path / "template.csv")
    for words in (
        "1 id has no image, such as ISIC_1",
        "1 id stands in several rows",
        "columns 9",
    ):
        assert words in str(caught.value)
    (tmp_path / "broken").mkdir()
    lines = ["image,label"]
    for number in range(45):
        file = tmp_path / "broken" / f"{number}.png"
        file.write_bytes(b"no image") if number in (2, 44) else Image.new("RGB", (9, 9)).save(file)
        lines.append(f"broken/{number}.png,{number % 4}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    listed, own = tmp_path / "list.csv", tmp_path / "submission.csv"
    own.write_text("id,0,1,2,3\n0,0,0,0,0\n")
    for images, output, more in ((f"csv:{listed}", listed, ""), (source, table, own)):
        with pytest.raises(RunError, match="would replace a file that is read"):
            efn_compose.predict(folds, images, output, submission=more)
    own.unlink()
    with pytest.raises(DataError, match="2 of 45 images") as caught:
        efn_compose.predict(folds, f"csv:{tmp_path / 'list.csv'}", table)
    assert "2.png" in str(caught.value) and "44.png" in str(caught.value)
    assert not table.exists() and not list(tmp_path.glob(".*partial"))
