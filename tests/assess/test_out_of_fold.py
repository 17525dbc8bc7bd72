"""Out-of-fold predictions: what is written comes back, faults are found, summaries are scikit-learn's."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from repository import ROOT
from sklearn import metrics

from efn_compose.assess.out_of_fold import (
    Predictions,
    check_out_of_fold,
    default_name,
    join_predictions,
    read_predictions,
    summarise,
    write_predictions,
)
from efn_compose.data import load_table
from efn_compose.data.decoding.unreadable import skip_unreadable
from efn_compose.data.folding.folds import make_folds
from efn_compose.data.table import ImageTable
from efn_compose.errors import ConfigError, DataError

HOSTILE = ("a,b", 'quo"te', "line\nbreak", "=1+1", "p1_naevus ø", "")


def trained(seeds=(1, 2), folds=3, rows=120, variants=("b0",)) -> tuple[ImageTable, Predictions]:
    """Return a table with patients, and noisy predictions of every fold, seed and variant."""
    rng = np.random.default_rng(0)
    groups = np.arange(rows, dtype=np.int32) // 2
    labels = (groups % 3 == 0).astype(np.int32)
    table = ImageTable(
        np.zeros((rows, 1, 1, 3), np.uint8),
        labels,
        ("benign", "malignant"),
        "table",
        groups,
        tuple(f"IP {number}" for number in range(rows)),
    )
    fold = make_folds(table, folds).fold
    parts = []
    for variant in variants:
        for seed in seeds:
            logit = rng.normal(size=rows) + 2 * labels - 1
            given = 1 / (1 + np.exp(-logit))
            for number in range(folds):
                chosen = np.flatnonzero(fold == number)
                stated = np.stack([1 - given, given], axis=1)[chosen]
                parts.append(
                    Predictions.of_fold(
                        table, chosen, stated, fold=number, seed=seed, variant=variant
                    )
                )
    return table, join_predictions(parts)


def assert_same(one: Predictions, two: Predictions) -> None:
    assert one.class_names == two.class_names
    for name in ("image", "patient", "variant"):
        assert getattr(one, name) == getattr(two, name)
    for name in ("number", "label", "fold", "seed", "probability"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert getattr(one, name).dtype == getattr(two, name).dtype


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_hostile_names_and_every_bit_come_back(tmp_path, suffix):
    rng = np.random.default_rng(1)
    rows = Predictions(
        class_names=HOSTILE,
        number=np.arange(6),
        image=("bild ø/画像 1.png", *HOSTILE[:5]),
        patient=HOSTILE,
        label=np.arange(6),
        fold=np.array([0, 1, 2, 0, 1, 2]),
        seed=np.full(6, 2**40),
        variant=HOSTILE[::-1],
        probability=rng.dirichlet(np.full(6, 0.05), 6).astype(np.float32),
    )
    path = tmp_path / f"out of fold ø.{suffix}"
    write_predictions(rows, path)
    assert_same(read_predictions(path), rows)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    # A name that is no UTF-8, as Linux allows, is escaped and does not stop the writing.
    odd = Predictions(
        **{**vars(rows), "image": (os.fsdecode(b"\xff.png"), *rows.image[1:])},
    )
    write_predictions(odd, path)
    assert read_predictions(path).image[0] == "\\xff.png"


def test_other_programs_read_both_forms(tmp_path):
    _, rows = trained()
    write_predictions(rows, tmp_path / "a.csv")
    write_predictions(rows, tmp_path / "a.parquet")
    with open(tmp_path / "a.csv", encoding="utf-8") as file:
        header = file.readline().strip()
    assert header == "number,image,patient,label,class,fold,seed,variant,p0_benign,p1_malignant"
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = parquet.read_table(tmp_path / "a.parquet").to_pydict()
    assert tuple(columns["patient"]) == rows.patient and rows.patient[0].startswith("IP ")
    assert set(columns["class"]) == {"benign", "malignant"}
    assert default_name() == "out_of_fold.parquet"


def test_an_interrupted_writing_leaves_the_old_file(tmp_path):
    _, rows = trained()
    write_predictions(rows, tmp_path / "a.csv")
    before = (tmp_path / "a.csv").read_bytes()
    code = (
        "import csv, os, sys\n"
        "from efn_compose.assess import out_of_fold as o\n"
        "rows = o.read_predictions('a.csv')\n"
        "import efn_compose.assess.out_of_fold.file as f\n"
        "class Dying:\n"
        "    def __init__(self, file): self.file = file\n"
        "    def writerow(self, row): self.file.write('half'); self.file.flush()\n"
        "    def writerows(self, rows): os._exit(9)\n"
        "f.csv.writer = Dying\n"
        "o.write_predictions(rows, 'a.csv')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=_environment())
    assert ended.returncode == 9
    assert (tmp_path / "a.csv").read_bytes() == before


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_file_behind_each_image_is_named_even_after_some_were_left_out(tmp_path):
    for name in ("naevus ø", "мелaнома"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (4, 4)).save(tmp_path / name / f"bild {number} 画像.png")
    (tmp_path / "naevus ø" / "bild 1 画像.png").write_bytes(b"no image")
    table, _ = skip_unreadable(load_table(f"folder:{tmp_path}"), at_most=0.5)
    rows = Predictions.of_fold(table, np.arange(5), np.full((5, 2), 0.5), fold=0, seed=0)
    assert rows.patient == ("",) * 5
    wanted = sorted(
        str(path) for path in tmp_path.rglob("*.png") if path.read_bytes() != b"no image"
    )
    assert sorted(rows.image) == wanted
    for image, label in zip(rows.image, rows.label, strict=True):
        assert table.class_names[label] in image


def test_patients_keep_the_names_of_their_table(tmp_path):
    for number in range(4):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{number}.png")
    text = "image,label,patient\n0.png,x,IP_9\n1.png,y,Ø 1\n2.png,x,IP_9\n3.png,y,10\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    table = load_table(f"csv:{tmp_path / 't.csv'}")
    assert [table.group_name(n) for n in range(4)] == ["IP_9", "Ø 1", "IP_9", "10"]
    images = np.zeros((2, 4, 4, 3), np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=[0, 1], groups=["b", "a"])
    table = load_table(f"npz:{tmp_path / 'd.npz'}")
    assert [table.group_name(n) for n in range(2)] == ["b", "a"]
    assert [table.image_name(n) for n in range(2)] == ["0", "1"]


def test_each_image_must_be_in_one_fold_and_each_patient_too():
    table, rows = trained()
    check_out_of_fold(rows, len(table))

    def fails(changed: Predictions, *words: str, images: int | None = None) -> None:
        with pytest.raises(DataError) as caught:
            check_out_of_fold(changed, images)
        for word in words:
            assert word in str(caught.value)

    last = np.ones(len(rows), bool)
    last[7] = False
    number = rows.number[7]
    # Missing in one seed, there in the other.
    fails(rows.rows(last), f"b0, seed 1: 1 images in no validation fold, such as {number}")
    twice = rows.rows(np.append(np.arange(len(rows)), 7))
    fails(twice, f"1 images in several rows, such as {number}")
    fails(rows, "1 images in no validation fold, such as 120", images=121)
    fails(rows, "2 images that the table has not, such as 118, 119", images=118)
    moved = rows.fold.copy()
    moved[7] = (moved[7] + 1) % 3
    fails(
        Predictions(**{**vars(rows), "fold": moved}),
        f"1 patients in more than one fold, such as {rows.patient[7]}",
    )
    label = rows.label.copy()
    label[7] = 1 - label[7]
    fails(Predictions(**{**vars(rows), "label": label}), "images with more than one label")
    odd = rows.probability.copy()
    odd[3, 0] = np.nan
    fails(Predictions(**{**vars(rows), "probability": odd}), "1 rows are not finite")
    fewer = rows.fold.copy()
    fewer[(rows.seed == 1) & (fewer == 2)] = 1
    fails(Predictions(**{**vars(rows), "fold": fewer}), "different numbers of folds ({1: 2, 2: 3})")


def test_the_summary_is_what_scikit_learn_says_of_the_same_rows():
    _, rows = trained(seeds=(1, 2, 3), variants=("b0", "b4"))
    found = summarise(rows)
    assert [(row.variant, row.folds, row.seeds) for row in found.variants] == [
        ("b0", 3, 3),
        ("b4", 3, 3),
    ]
    row = found.variants[1]
    for place, seed in enumerate((1, 2, 3)):
        mine = [name == "b4" for name in rows.variant] & (rows.seed == seed)
        for fold in range(3):
            here = mine & (rows.fold == fold)
            stated = rows.probability[here, 1]
            area = metrics.roc_auc_score(rows.label[here], stated)
            assert row.by_fold["auc"][place, fold] == pytest.approx(area)
        pooled = metrics.roc_auc_score(rows.label[mine], rows.probability[mine, 1])
        assert row.pooled[place].auc == pytest.approx(pooled)
    mean = np.zeros(120)
    truth = np.zeros(120)
    for number, variant, label, stated in zip(
        rows.number, rows.variant, rows.label, rows.probability[:, 1], strict=True
    ):
        truth[number] = label
        mean[number] += stated / 3 if variant == "b4" else 0
    assert row.ensemble.auc == pytest.approx(metrics.roc_auc_score(truth, mean))
    # Three independent noisy opinions are worth more than one of them.
    assert row.ensemble.auc > np.mean([one.auc for one in row.pooled])
    value, error = row.mean_and_error("auc")
    assert value == pytest.approx(row.by_fold["auc"].mean())
    assert error == pytest.approx(row.by_fold["auc"].mean(axis=0).std(ddof=1) / np.sqrt(3))
    assert "b4: 3 folds, 3 seeds" in str(found) and "mean of 3 seeds" in str(found)
    json.dumps(found.to_json(), allow_nan=False)


def test_damaged_tables_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"\.parquet or \.csv"):
        read_predictions(tmp_path / "a.txt")
    for suffix in ("csv", "parquet"):
        with pytest.raises(DataError, match="no such file"):
            read_predictions(tmp_path / f"a.{suffix}")
        (tmp_path / f"a.{suffix}").write_bytes(b"\xff\xfe\x00rubbish")
        with pytest.raises(DataError, match=rf"a\.{suffix}: not a"):
            read_predictions(tmp_path / f"a.{suffix}")
    (tmp_path / "a.csv").write_text("number,image\n1,x\n")
    with pytest.raises(DataError, match=r"no column 'label'(.|\n)*no columns of probabilities"):
        read_predictions(tmp_path / "a.csv")
    _, rows = trained()
    write_predictions(rows, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace(",benign,0,1,b0,", ",benign,zero,1,b0,"))
    with pytest.raises(DataError, match="column 'fold': expected whole numbers"):
        read_predictions(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="other than 10 fields"):
        read_predictions(tmp_path / "a.csv")
