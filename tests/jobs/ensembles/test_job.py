"""`efn-compose ensemble` as a person runs it: to the end, killed, late, and with runs that do not fit."""

import csv
import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
from page_checks import Page
from tiny_recipe import quarters, tiny_donor
from tiny_runs import train_tiny
from verbs import run_verb

import efn_compose
from efn_compose.arch import HEAD_LAYER
from efn_compose.assess.prediction_store import PredictionStore
from efn_compose.cli import main
from efn_compose.data.content import write_content
from efn_compose.errors import ConfigError, DataError, ResumeMismatchError
from efn_compose.jobs.ensembles import preparation
from efn_compose.jobs.ensembles.deadline import Deadline
from efn_compose.jobs.ensembles.job import run_ensemble
from efn_compose.jobs.ensembles.preparation import prepare_ensemble
from efn_compose.jobs.hours import hours_until
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.store import read_journal

NEW = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensembles")
    tiny_donor().save(folder / "tiny.h5")
    images, labels = quarters(48)
    np.savez(folder / "images.npz", images=images, labels=labels)
    images, labels = quarters(NEW, seed=5)
    np.savez(folder / "new.npz", images=images, labels=labels)
    train_tiny(folder, "run", "images.npz", validation__folds=2, validation__seeds=2)
    return folder


def _words(place, name, *more):
    return [
        "ensemble", place / "run", "--data", f"npz:{place / 'new.npz'}", "--measure", "accuracy",
        "-o", place / name, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(place):
    assert run_verb(*_words(place, "undisturbed", "--quiet")) == 0
    return place / "undisturbed"


def _table(path):
    with open(path, newline="") as file:
        _, *rows = csv.reader(file)
    return np.array([[float(value) for value in row[1:-2]] for row in rows])


@pytest.mark.slow
def test_the_median_of_the_columns_is_plan_b(undisturbed, place):
    columns = []
    for seed in (1, 2):
        names = [place / "run" / "trainings" / f"b-tiny_fold{fold}_seed{seed}" for fold in (0, 1)]
        # The mean of the column's folds, as `predict` makes it.
        table = efn_compose.predict(names, f"npz:{place / 'new.npz'}", place / "column.csv").table
        columns.append(_table(table))
    median = np.median(columns, axis=0)
    wanted = median / median.sum(axis=1, keepdims=True)
    assert _table(undisturbed / "plan_b.csv") == pytest.approx(wanted, abs=2e-3)


@pytest.mark.slow
def test_result_store_journal_and_page_tell_one_story(undisturbed):
    result = json.loads((undisturbed / "result.json").read_text())
    store = PredictionStore(undisturbed / "predictions")
    assert [column.name for column in store.columns] == list(result["columns"])
    own = store.probability().argmax(axis=2) == store.rows.label
    for column, right in zip(result["columns"].values(), own, strict=True):
        assert column["score"] == pytest.approx(right.mean())
    lines = read_journal(undisturbed / "evaluations.jsonl").records
    assert len([line for line in lines if line.get("phase") == "ask"]) == 4
    honest = {line["method"]: line["honest"] for line in lines if line.get("phase") == "outer"}
    assert honest == {name: row["honest"] for name, row in result["methods"].items()}
    is_ahead = result["difference"] > result["standard_error"]
    assert (result["written"] == "bagged_climb") == (is_ahead and result["told_apart"] <= 0.6)
    written = (undisturbed / "submission.csv").read_bytes()
    other = "second.csv" if result["written"] == "bagged_climb" else "submission.csv"
    assert (undisturbed / other).read_bytes() == (undisturbed / "plan_b.csv").read_bytes()
    page = (undisturbed / "report.html").read_text()
    for words in (*result["reasons"], "b-tiny_seed2", "Confident mistakes"):
        assert words.replace("'", "&#x27;") in page
    assert written.count(b"\n") == NEW + 1


@pytest.mark.slow
def test_a_killed_ensemble_goes_on_and_ends_with_the_same_bytes(undisturbed, place, monkeypatch):
    from efn_compose.jobs.ensembles import asked

    calls = 0
    original = asked.Asker.ask

    def interrupt(self, network, is_late=lambda: False):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        original(self, network, is_late)

    monkeypatch.setattr(asked.Asker, "ask", interrupt)
    words = [str(word) for word in _words(place, "killed", "--quiet")]
    assert main(words) == 130
    assert len(_table(place / "killed" / "plan_b.csv")) == NEW
    assert main(words) == 1
    first = min((place / "killed" / "test").iterdir())
    damaged = bytearray(first.read_bytes())
    damaged[-9] ^= 1
    first.write_bytes(damaged)
    assert main([*words, "--resume"]) == 0
    # The two that were left, and the one whose answers were damaged meanwhile.
    assert calls == 3 + 2 + 1
    for name in ("plan_b.csv", "submission.csv", "result.json", "predictions/out_of_fold.parquet"):
        assert (place / "killed" / name).read_bytes() == (undisturbed / name).read_bytes(), name


@pytest.mark.slow
def test_when_the_time_is_up_there_is_a_submission_and_more_time_finishes_it(
    undisturbed, place, monkeypatch
):
    words = _words(place, "late", "--quiet")
    assert run_verb(*words, "--hours", "0.0000001") == 0
    result = json.loads((place / "late" / "result.json").read_text())
    assert result["written"] == "median" and "time was up" in " ".join(result["reasons"])
    assert result["networks"] == {"asked": 1, "of": 4}
    late = place / "late" / "submission.csv"
    first = late.read_bytes()
    assert first == (place / "late" / "plan_b.csv").read_bytes()
    # Late again: the median of more answers takes the place of that of fewer.
    with monkeypatch.context() as patch:
        asked = place / "late" / "test"
        patch.setattr(Deadline, "is_over", lambda self: len(list(asked.iterdir())) > 2)
        assert run_verb(*words, "--resume", "--hours", "1") == 0
    again = json.loads((place / "late" / "result.json").read_text())
    assert 1 < again["networks"]["asked"] < 4
    assert first != late.read_bytes() == (place / "late" / "plan_b.csv").read_bytes()
    assert run_verb(*words, "--resume") == 0
    assert late.read_bytes() == (undisturbed / "submission.csv").read_bytes()
    assert 0 < hours_until("23:59") < 24
    with pytest.raises(ConfigError, match="02:00"):
        hours_until("25:10")
    with pytest.raises(ConfigError, match="exclude"):
        run_verb(*words, "--until", "02:00", "--hours", "1")


@pytest.mark.slow
def test_the_time_runs_while_everything_is_read(place, monkeypatch):
    now, read = [100.0], preparation.read_members
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(runs):
        now[0] += 3600
        return read(runs)

    monkeypatch.setattr(preparation, "read_members", slow)
    words = [f"ensemble.runs={place / 'run'}", f"data.source=npz:{place / 'new.npz'}"]
    prepared = prepare_ensemble(None, [*words, "budget.hours=1.5"])
    assert not prepared.deadline.is_over()
    now[0] += 1801
    assert prepared.deadline.is_over()


@pytest.mark.slow
def test_two_runs_of_one_name_are_columns_of_their_own(place, undisturbed, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    for path in (tmp_path / "run").rglob("last.h5"):
        donor = efn_compose.load_donor(path)
        tensors = {
            name: values * (not name.startswith(f"{HEAD_LAYER}/"))
            for name, values in donor.tensors.items()
        }
        donor.replace(tensors=tensors).save(path)
    words = ["ensemble", place / "run", tmp_path / "run", "--data", f"npz:{place / 'new.npz'}"]
    assert run_verb(*words, "--measure", "accuracy", "-o", tmp_path / "out", "--quiet") == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert set(result["columns"]) == {
        "run/b-tiny_seed1", "run/b-tiny_seed2", "run/b-tiny_seed1#2", "run/b-tiny_seed2#2",
    }  # fmt: skip
    # Two columns as they were, and two of networks that say a quarter to everything.
    files = sorted((tmp_path / "out" / "test").iterdir())
    assert len(files) == 8
    assert [bool(np.load(file).any()) for file in files] == [True] * 4 + [False] * 4


@pytest.mark.slow
def test_a_template_is_filled_by_every_file(place):
    ids = [f"{number},0.25,0.25,0.25,0.25" for number in (7, 3, 39)]
    (place / "template.csv").write_text("\n".join(["id,3,2,1,0", *ids]))
    words = _words(place, "filled", "--quiet", "--submission", place / "template.csv")
    assert run_verb(*words, "--hours", "0.0000001") == 0
    for name in ("plan_b.csv", "submission.csv"):
        header, *rows = csv.reader((place / "filled" / name).read_text().splitlines())
        assert header == ["id", "3", "2", "1", "0"] and [row[0] for row in rows] == ["7", "3", "39"]
        assert np.array([row[1:] for row in rows], float).sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_a_second_level_sees_further_columns_and_must_be_ahead_to_be_written(
    place, undisturbed, monkeypatch
):
    (place / "models.toml").write_text(
        '[[model]]\nkind = "ridge"\nstrength = [1, 10]\n[[model]]\nkind = "neighbours"\n'
    )
    lines = [f"{number},{number * 7 % 5},{('a', 'b', '')[number % 3]}" for number in range(48)]
    (place / "columns.csv").write_text("\n".join(["image,size,site", *lines]))
    words = _words(
        place, "stacked", "--quiet", "--stack", place / "models.toml", "--workers", "1",
        "--table", place / "columns.csv", "--set", "executor.kind=serial",
        "--against", undisturbed, "--set", f'stack.features=["{place / "tiny.h5"}"]',
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"executor\.workers"):
        run_verb(*words)  # a serial executor has one worker
    words.remove("--workers")
    words.remove("1")
    assert run_verb(*words) == 0
    result = json.loads((place / "stacked" / "result.json").read_text())
    assert result["stack"]["fitted"] == 3 and result["stack"]["failed"] == 0
    lines = read_journal(place / "stacked" / "evaluations.jsonl").records
    assert len([line for line in lines if line.get("phase") == "stack"]) == 3
    stack, standing = (result["methods"][name]["honest"] for name in ("stack", "median"))
    assert result["methods"]["stack"]["difference"] == pytest.approx(stack - standing)
    assert "stack minus " in result["reasons"][-1]
    assert (result["written"] == "stack") == ("ahead by more than one." in result["reasons"][-1])
    page = Page((place / "stacked" / "report.html").read_text())
    for words in ("Second level", "site=a", "site missing", "size up to 2", "columns; fold"):
        assert words in page.text
    # Another ensemble beside this one: counts by hand, from what both keep.
    right = []
    for folder in (place / "stacked", undisturbed):
        store = PredictionStore(folder / "honest")
        names = [column.name for column in store.columns]
        written = json.loads((folder / "result.json").read_text())["written"]
        stated = store.probability([names.index(written)])[0]
        right.append(stated.argmax(axis=1) == store.rows.label)
    assert "Beside undisturbed" in page.text
    # The start's own pooled features of all images, as NumPy sees them.
    body = efn_compose.load_donor(place / "tiny.h5").without_head()
    network = NumpyNetwork(WeightSource.of(body))
    for part, source in (("rows", "images.npz"), ("images", "new.npz")):
        kept = np.load(next((place / "stacked" / "predictions" / "pooled").glob(f"*_{part}.npy")))
        with np.load(place / source) as file:
            wanted = network.run(body.preprocess(file["images"][:8]))
        assert kept[:8] == pytest.approx(wanted, abs=2e-3 * np.abs(wanted).max())
    both, only = int((right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    assert f"this one right {both} {only}" in " ".join(page.text.split())
    # The surest mistakes come with their pictures, which the page holds itself.
    pictures = page.find("img")
    assert pictures and all(p["src"].startswith("data:image/png;base64,") for p in pictures)
    # A second level that wins weighs models; the weights of columns are still those of the first level.
    monkeypatch.setattr(
        "efn_compose.jobs.ensembles.job.raise_level",
        lambda verdict, stack, *_: replace(verdict, winner=stack.method, challenger=stack.method),
    )
    words = _words(
        place, "stacked", "--quiet", "--stack", place / "models.toml", "--resume",
        "--table", place / "columns.csv", "--set", "executor.kind=serial",
        "--against", undisturbed, "--set", f'stack.features=["{place / "tiny.h5"}"]',
    )  # fmt: skip
    assert run_verb(*words) == 0
    page = Page((place / "stacked" / "report.html").read_text())
    assert "stack is submitted" in page.text and "Weights of stack" not in page.text
    assert "Weights of bagged_climb. It left out" in page.text
    # Models that saw other columns answer no more.
    text = (place / "columns.csv").read_text()
    (place / "columns.csv").write_text(text.replace("3,1,b", "3,4,b"))
    with pytest.raises(ResumeMismatchError, match="table"):
        run_verb(*words)


@pytest.mark.slow
def test_everything_that_an_ensemble_reads_may_lie_in_the_home_folder(place, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    lines = [f"{number},{number % 7}" for number in range(48)]
    (place / "sizes.csv").write_text("\n".join(["image,size", *lines]))
    settings = ["ensemble.runs=~/run", "data.source=npz:~/new.npz", f"run.path={tmp_path / 'run'}"]
    settings += ["stack.portfolio=default", "stack.table=~/sizes.csv", "stack.features=~/tiny.h5"]
    prepared = prepare_ensemble(None, settings)
    assert prepared.further.numbers == ("size",) and len(prepared.bodies) == 1
    assert len(prepared.labelled) == 48


@pytest.mark.slow
def test_members_of_other_images_of_the_same_names_are_refused(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "other")
    (known,) = place.glob("run/content.json")
    with np.load(place / "images.npz") as archive:
        write_content(archive["images"], tmp_path / "same.json")
        write_content(255 - archive["images"], tmp_path / "other" / "content.json")
    assert json.loads(known.read_text()) == json.loads((tmp_path / "same.json").read_text())
    runs = f"ensemble.runs={place / 'run'},{tmp_path / 'other'}"
    source = f"data.source=npz:{place / 'new.npz'}"
    with pytest.raises(DataError, match="other images of the same names: 48 of 48"):
        prepare_ensemble(None, [runs, source])
    # Of a run of an earlier version nothing is known, and nothing is refused.
    (tmp_path / "other" / "content.json").unlink()
    assert len(prepare_ensemble(None, [runs, source]).members.members) == 4


@pytest.mark.slow
def test_an_ensemble_goes_on_with_the_same_new_images_only(
    undisturbed, place, tmp_path, monkeypatch
):
    shutil.copytree(undisturbed, tmp_path / "run")
    images, _ = quarters(NEW, seed=5)
    settings = [f"ensemble.runs={place / 'run'}", f"run.path={tmp_path / 'run'}"]
    settings += ["ensemble.measure=accuracy", f"data.source=npz:{place / 'new.npz'}"]
    prepared = prepare_ensemble(None, settings)
    assert prepared.identity["pixels"] == _stored(undisturbed)["pixels"]
    other = replace(prepared.table, images=255 - images)
    with pytest.raises(ResumeMismatchError, match="pixels: the run has"):
        run_ensemble(replace(prepared, table=other), resume=True)
    # The folder of an earlier revision, which kept names alone.
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    del environment["identity"]["pixels"]
    (tmp_path / "run" / "environment.json").write_text(json.dumps(environment))
    run_ensemble(prepared, resume=True)
    written = (tmp_path / "run" / "submission.csv").read_bytes()
    # What has ended stays until the same job has ended again.
    (tmp_path / "run" / "submission.csv").write_text("kept")
    monkeypatch.setattr("efn_compose.jobs.ensembles.job.judge_methods", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_ensemble(prepared, resume=True)
    assert (tmp_path / "run" / "submission.csv").read_text() == "kept"
    assert written == (undisturbed / "submission.csv").read_bytes()


def _stored(folder):
    return json.loads((folder / "environment.json").read_text())["identity"]


@pytest.mark.slow
def test_runs_that_do_not_fit_are_refused_with_all_reasons(place, tmp_path):
    for name in ("folds", "short", "open", "nan", "ranks", "masks"):
        shutil.copytree(place / "run", tmp_path / name)
    text = (place / "run" / "folds.csv").read_text()
    lines = text.splitlines()
    moved = lines[5].rsplit(",", 1)
    lines[5] = f"{moved[0]},{1 - int(moved[1])}"
    (tmp_path / "folds" / "folds.csv").write_text("\n".join(lines))
    from efn_compose.assess.out_of_fold import read_predictions, write_predictions

    path = tmp_path / "short" / "out_of_fold.parquet"
    predictions = read_predictions(path)
    write_predictions(predictions.rows(np.arange(3, len(predictions))), path)
    (tmp_path / "open" / "out_of_fold.parquet").unlink()
    predictions.probability[[4, 9], 1] = np.nan
    write_predictions(predictions, tmp_path / "nan" / "out_of_fold.parquet")
    config = tmp_path / "ranks" / "config.toml"
    ranks = 'views = "flip"\nmerge = "rank"'
    config.write_text(config.read_text().replace('views = "none"', ranks))
    config = tmp_path / "masks" / "config.toml"
    config.write_text(config.read_text().replace('kind = "classify"', 'kind = "segment"'))
    runs = [
        place / "run",
        *(tmp_path / name for name in ("folds", "short", "open", "nan", "ranks", "masks")),
    ]
    runs.append(tmp_path)
    words = ["ensemble", *runs, "--data", f"npz:{place / 'new.npz'}", "-o", tmp_path / "out"]
    with pytest.raises(DataError) as caught:
        run_verb(*words)
    told = str(caught.value)
    for part in (
        "1 images have another fold", "3 rows have no prediction", "the run is not finished",
        "2 rows are no probabilities", "answers are ranks", "its objective is 'segment'",
        f"{tmp_path}/folds.csv: no such file",
    ):  # fmt: skip
        assert part in told
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="named more than once"):
        run_verb("ensemble", place / "run", place / "run", "--data", "digits")
    trained = next((place / "run").rglob("last.h5"))
    with pytest.raises(ConfigError, match="trained on these labels"):
        run_verb(
            *words[:1], place / "run", *words[-4:], "--stack", "default", "--set",
            f'stack.features=["{trained}"]',
        )  # fmt: skip
    with pytest.raises(DataError, match="no finished ensemble"):
        run_verb(*words[:1], place / "run", *words[-4:], "--against", place / "run")
    with pytest.raises(ConfigError, match=r"data\.source is empty"):
        run_verb("ensemble", place / "run")
