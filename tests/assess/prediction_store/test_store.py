"""The prediction store: what comes back, what is refused, how much is read."""

import csv

import numpy as np
import pytest

from efn_compose.assess.prediction_store import (
    Column,
    PredictionStore,
    RowTable,
    StoreWriter,
    read_rows,
)
from efn_compose.assess.prediction_store.rows import refuse_other_rows
from efn_compose.data import load_table
from efn_compose.data.folding.fold_table import write_fold_table
from efn_compose.errors import DataError


def rows_of(count=60, classes=3, folds=4, **changes):
    numbers = np.arange(count)
    fields = {
        "image": tuple(f"i{number}.png" for number in numbers),
        "patient": ("",) * count,
        "label": numbers % classes,
        "fold": numbers // classes % folds,
        "class_names": tuple("abcdefghi"[:classes]),
    }
    return RowTable(**fields | changes)


def stated(rows, seed, sharpness=2.0):
    logits = sharpness * np.random.default_rng(seed).normal(size=(len(rows), len(rows.class_names)))
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def test_probabilities_come_back_to_half_precision(tmp_path):
    rows = rows_of()
    columns = [Column("one"), Column("two", variant="b1", seed=4, keep="best")]
    given = [stated(rows, 1), stated(rows, 2, sharpness=5)]
    with StoreWriter(tmp_path / "s", rows) as writer:
        for column, probability in zip(columns, given, strict=True):
            writer.add(column, probability)
    store = PredictionStore(tmp_path / "s")
    assert store.columns == tuple(columns) and store.rows.digest == rows.digest
    # float16 has 11 bits: a logit below 16 is exact to 2**-8 = 0.004, a probability to a quarter of it.
    assert store.probability() == pytest.approx(np.stack(given), abs=1e-3)
    assert store.logits(1, classes=[2]).shape == (60, 1)
    assert store.columns[0].flattery == "" and "epoch was chosen" in store.columns[1].flattery


def test_a_column_is_read_without_the_others(tmp_path):
    rows = rows_of(5000, classes=9)
    with StoreWriter(tmp_path / "s", rows) as writer:
        for number in range(6):
            writer.add(Column(str(number)), stated(rows, number))
    path = tmp_path / "s" / "out_of_fold.parquet"
    content = bytearray(path.read_bytes())
    block = 5000 * 9 * 2
    assert len(content) < 6 * block * 1.1  # two bytes a number, and nearly nothing else
    # Garbage where the last models lie: the first ones do not notice.
    content[3 * block : 5 * block] = bytes(2 * block)
    path.write_bytes(content)
    assert PredictionStore(tmp_path / "s").probability([1])[0] == pytest.approx(
        stated(rows, 1), abs=1e-3
    )


def test_what_does_not_fit_is_refused_with_all_reasons(tmp_path):
    rows = rows_of()
    bad = stated(rows, 1)
    bad[7, 1] = np.nan
    with StoreWriter(tmp_path / "s", rows) as writer:
        writer.add(Column("one"), stated(rows, 1))
        for column, probability, words in (
            (Column("one"), stated(rows, 1), "a column of this name"),
            (Column("nan"), bad, "1 rows are not finite, such as i7.png"),
            (Column("wide"), stated(rows_of(classes=4), 1), r"\(60, 4\)"),
            (Column("sum"), 2 * stated(rows, 1), "not summing to 1"),
        ):
            with pytest.raises(DataError, match=words):
                writer.add(column, probability)
    assert [column.name for column in PredictionStore(tmp_path / "s").columns] == ["one"]
    with pytest.raises(KeyError), StoreWriter(tmp_path / "s", rows):
        raise KeyError
    with pytest.raises(DataError, match="no prediction store"):
        PredictionStore(tmp_path / "s")


def test_models_of_other_folds_are_refused_and_differences_named():
    rows = rows_of()
    fold = rows.fold.copy()
    fold[[3, 9]] = (fold[[3, 9]] + 1) % 4
    for other, words in (
        (rows_of(fold=fold), "2 images have another fold, such as i3.png, i9.png"),
        (rows_of(count=57), "3 images are missing, such as i57.png"),
        (rows_of(class_names=("a", "b", "x")), "classes: a, b, x instead of a, b, c"),
        (rows_of(image=rows.image[::-1]), "another order"),
    ):
        with pytest.raises(DataError, match=words):
            refuse_other_rows(rows, other, "runs/other")
    refuse_other_rows(rows, rows_of(), "the same again")


def test_folds_that_compare_nothing_are_told():
    assert rows_of().problems() == []
    rows = rows_of(fold=np.repeat([0, 1], 30), label=np.repeat([0, 1, 2], 20))
    assert rows.problems() == ["- fold 0 has no image of c", "- fold 1 has no image of a"]
    assert "one fold" in rows_of(fold=np.zeros(60, int)).problems()[0]
    split = rows_of(patient=("p", "q") * 30)
    assert "2 patients are in several folds, such as " in split.problems()[0]
    assert split.clusters.tolist()[:4] == [0, 1, 0, 1]
    assert len(np.unique(rows.clusters)) == 60


def test_the_fold_table_of_a_run_is_read(tmp_path):
    table = load_table("digits").chosen(np.arange(100))
    fold = np.arange(100) % 5
    write_fold_table(table, fold, tmp_path / "folds.csv")
    rows = read_rows(tmp_path / "folds.csv")
    assert np.array_equal(rows.fold, fold) and np.array_equal(rows.label, table.labels)
    assert rows.class_names == table.class_names
    header, *lines = csv.reader((tmp_path / "folds.csv").read_text().splitlines())
    (tmp_path / "short.csv").write_text("\n".join(",".join(row) for row in [header, *lines[1:]]))
    with pytest.raises(DataError, match="not 0, 1, 2"):
        read_rows(tmp_path / "short.csv")


def test_other_pixels_under_the_same_names_are_refused_and_unknown_ones_are_not(tmp_path):
    ours = rows_of(content={0: "4x6 a", 30: "4x6 b", 59: "4x6 c"})
    with StoreWriter(tmp_path / "s", ours) as writer:
        writer.add(Column("one"), stated(ours, 1))
    kept = PredictionStore(tmp_path / "s").rows
    assert kept.content == ours.content and kept.digest == rows_of().digest
    refuse_other_rows(kept, rows_of(content={0: "4x6 a", 59: "4x6 c"}), "run")
    # A store of an earlier version knows no pixels.
    refuse_other_rows(kept, rows_of(), "run")
    with pytest.raises(DataError, match=r"run: .* 1 of 2 that were compared .* i30\.png"):
        refuse_other_rows(kept, rows_of(content={0: "4x6 a", 30: "4x6 x"}), "run")
