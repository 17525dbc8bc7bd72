"""`pretrain` as a person uses it: a run, its files, a kill, bad input, and what alarms reach."""

import json
import shutil

import numpy as np
import pytest
from killed_at_the_line import count_epochs, kill_after_the_line, kill_before_the_line
from tiny_recipe import quarters, tiny_donor
from traced_trainers import share_pretrainers, spoil

from efn_compose import lineages, load_donor
from efn_compose.analysis.page.pretraining_page import write_pretraining_report
from efn_compose.cli.shared.command import main
from efn_compose.errors import ConfigError, DataError, RunError
from efn_compose.jobs.pretraining import cells, job
from efn_compose.jobs.pretraining.cells import PretrainCell, PretrainResult
from efn_compose.jobs.pretraining.job import _keep_pretraining, pretrain
from efn_compose.jobs.pretraining.preparation import prepare_pretraining
from efn_compose.jobs.pretraining.worker import PretrainWorker
from efn_compose.store import RunFolder
from efn_compose.store.journal import read_journal, to_line
from efn_compose.train.recipe.history import EpochRecord, History

# Whichever test comes first makes the run of all.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a donor, unlabelled images and labelled ones."""
    folder = tmp_path_factory.mktemp("pretrain")
    tiny_donor().save(folder / "tiny.h5")
    images, labels = quarters(64, seed=3)
    np.savez(folder / "unlabelled.npz", images=images, labels=labels)
    images, labels = quarters(40, seed=4)
    np.savez(folder / "labelled.npz", images=images, labels=labels)
    return folder


def settings(place, path, *more):
    return [
        f"weights.file={place / 'tiny.h5'}",
        f"unlabelled.source=npz:{place / 'unlabelled.npz'}",
        f"labelled.source=npz:{place / 'labelled.npz'}",
        "unlabelled.size=16", "labelled.seeds=2", "labelled.epochs=1", "pretrain.epochs=2",
        "labelled.head_start=class_means",
        "pretrain.batch_size=16", "pretrain.width=32", "executor.workers=1",
        f"run.path={place / path}", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def traced():
    """The trainers of the run, by name."""
    return {}


@pytest.fixture(scope="module")
def run(place, traced):
    with pytest.MonkeyPatch.context() as patch:
        share_pretrainers(patch, traced)
        return pretrain(overrides=settings(place, "run"), quiet=True)


def lines(folder):
    """The journal without what may differ between equal runs."""
    return [
        {key: value for key, value in record.items() if key != "timing"}
        for record in read_journal(folder / "evaluations.jsonl").records
    ]


def test_the_result_is_a_donor_of_the_same_lineage(place, run):
    donor, found = tiny_donor(), load_donor(run.weights)
    assert lineages([donor, found]) == [(0, 1)]
    assert found.provenance["licence"] == donor.provenance["licence"]
    (seen,) = found.provenance["pretrained"]
    assert (seen["method"], seen["images"], seen["updates"], seen["size"]) == ("vicreg", 64, 8, 16)
    assert seen["transductive_images"] == 0
    # Plain Keras loads the file by topology.
    images = donor.preprocess(quarters(4)[0])
    model = donor.build(include_top=False)
    model.load_weights(run.weights)
    np.testing.assert_array_equal(model(images), found.build(include_top=False)(images))


def test_pretraining_again_adds_to_the_history():
    donor = cells.with_history(cells.with_history(tiny_donor(), {"method": "a"}), {"method": "b"})
    assert [seen["method"] for seen in donor.provenance["pretrained"]] == ["a", "b"]


def test_the_journal_has_a_line_for_each_epoch_and_each_judgement(run):
    records = lines(run.folder)
    epochs = [record for record in records if "epoch" in record]
    assert [record["epoch"] for record in epochs] == [1, 2]
    assert {"spread", "rank", "rank_share", "neighbours", "knn", "std"} <= set(
        epochs[0]["monitors"]
    )
    judged = [(record["arm"], record["seed"]) for record in records if "judgement" in record]
    assert judged == [(a, s) for a in ("absorbed", "vicreg_seed1") for s in (1001, 1002)]


def test_the_verdict_is_the_paired_difference_of_what_the_journal_says(run):
    losses = {}
    for record in lines(run.folder):
        if "judgement" in record:
            losses.setdefault(record["arm"], []).append(record["scores"]["loss"])
    change = np.subtract(losses["vicreg_seed1"], losses["absorbed"])
    (verdict,) = run.verdicts
    found = verdict.differences["loss"]
    assert found.mean == pytest.approx(change.mean())
    assert found.standard_error == pytest.approx(change.std(ddof=1) / np.sqrt(2))
    assert verdict.is_ahead == (change.mean() < -found.standard_error)
    assert json.loads((run.folder / "result.json").read_text())["of"] == "vicreg_seed1"
    assert verdict.words in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_killed_run_goes_on_to_the_same_bytes(place, run, traced, monkeypatch):
    from efn_compose.jobs.trainings.cell_folder import FolderWatcher

    def killed(self, history):
        raise KeyboardInterrupt

    monkeypatch.setattr(PretrainWorker, "trainer", lambda self, name, make: traced[name])
    overrides = settings(place, "killed")
    with monkeypatch.context() as patch:
        patch.setattr(FolderWatcher, "on_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(overrides=overrides, quiet=True)
    assert lines(place / "killed") == []
    spoil(traced.values())
    found = pretrain(overrides=overrides, resume=True, quiet=True)
    assert found.weights.read_bytes() == run.weights.read_bytes()
    assert lines(found.folder) == lines(run.folder)
    assert not list(found.folder.glob("state*"))


def test_a_pretraining_that_ended_is_never_made_again(place, run, traced, monkeypatch):
    monkeypatch.setattr(PretrainWorker, "trainer", lambda self, name, make: traced[name])
    overrides = settings(place, "at_the_line")
    with monkeypatch.context() as patch:
        kill_before_the_line(patch)
        with pytest.raises(KeyboardInterrupt):
            pretrain(overrides=overrides, quiet=True)
    assert lines(place / "at_the_line") == [] and (place / "at_the_line/state.npz").exists()
    spoil(traced.values())
    with monkeypatch.context() as patch:
        made = count_epochs(patch)
        kill_after_the_line(patch, job, "forget_state")
        with pytest.raises(KeyboardInterrupt):
            pretrain(overrides=overrides, resume=True, quiet=True)
    assert not made and (place / "at_the_line/state.npz").exists()
    found = pretrain(overrides=overrides, resume=True, quiet=True)
    assert found.weights.read_bytes() == run.weights.read_bytes()
    assert lines(found.folder) == lines(run.folder)
    assert not list(found.folder.glob("state*"))


def test_a_judgement_that_failed_is_tried_once_more(place, run, traced, monkeypatch):
    monkeypatch.setattr(PretrainWorker, "trainer", lambda self, name, make: traced[name])
    folder = shutil.copytree(run.folder, place / "failed")
    journal = folder / "evaluations.jsonl"
    *kept, last = read_journal(journal).records
    lost = {**last, "scores": {}, "error": "the worker died"}
    journal.write_bytes(b"".join(map(to_line, [*kept, lost])))
    found = pretrain(overrides=settings(place, "failed"), resume=True, quiet=True)
    assert lines(folder)[:-1] == [*lines(run.folder)[:-1], lost]
    assert lines(folder)[-1] == lines(run.folder)[-1]
    assert found.verdicts == run.verdicts and found.notes == run.notes


def test_images_that_judge_are_refused_by_name_or_counted_by_choice(place):
    images, _ = quarters(40, seed=4)
    others, _ = quarters(64, seed=3)
    mixed = np.concatenate([others, images[:3]])
    np.savez(place / "mixed.npz", images=mixed, labels=np.zeros(67, int))
    overrides = settings(place, "both", f"unlabelled.source=npz:{place / 'mixed.npz'}")
    with pytest.raises(
        DataError,
        match=r"(?s)3 unlabelled images are among .*64 of .*mixed.npz, which is 0 of .*labelled.npz.*'trans",
    ):
        prepare_pretraining(None, overrides, show_progress=False)
    chosen = [*overrides, "unlabelled.overlap=transductive"]
    prepared = prepare_pretraining(None, chosen, show_progress=False)
    assert prepared.images.both == 3
    assert "transductive by choice: 3 images" in prepared.notes[0]


def test_tiles_that_do_not_fit_the_images_are_refused_before_anything_is_written(place):
    words = settings(place, "tiles", "augment.grid=0.5", "augment.grid_cells=5")
    with pytest.raises(ConfigError, match=r"grid_cells = 5 must divide every image size"):
        prepare_pretraining(None, words, show_progress=False)


def test_only_the_fold_that_judges_must_be_unseen(place, capsys):
    folds = place / "folds.csv"
    source = f"npz:{place / 'labelled.npz'}"
    assert main(["folds", source, "--count", "4", "--quiet", "-o", str(folds)]) == 0
    fold = np.loadtxt(folds, delimiter=",", skiprows=1, usecols=5, dtype=int)
    images, labels = quarters(40, seed=4)
    for name, kept in (("clean", fold != 2), ("dirty", fold == 2)):
        np.savez(place / f"{name}.npz", images=images[kept], labels=labels[kept])
    more = (f"labelled.folds={folds}", "labelled.fold=2", "pretrain.batch_size=8")
    clean = settings(place, "f", *more, f"unlabelled.source=npz:{place / 'clean.npz'}")
    labelled = prepare_pretraining(None, clean, show_progress=False).images.labelled
    train, judge = labelled.split(7)
    np.testing.assert_array_equal(judge, np.flatnonzero(fold == 2))
    np.testing.assert_array_equal(train, np.flatnonzero(fold != 2))
    dirty = settings(place, "f", *more, f"unlabelled.source=npz:{place / 'dirty.npz'}")
    with pytest.raises(DataError, match=f"{(fold == 2).sum()} unlabelled images"):
        prepare_pretraining(None, dirty, show_progress=False)
    with pytest.raises(ConfigError, match=r"labelled\.fold: .* has the folds 0 to 3"):
        prepare_pretraining(None, [*clean, "labelled.fold=9"], show_progress=False)


def test_halves_are_stratified_and_differ_by_seed(place):
    labelled = prepare_pretraining(None, settings(place, "h"), show_progress=False).images.labelled
    train, judge = labelled.split(1)
    assert sorted([*train, *judge]) == list(range(40))
    assert np.bincount(labelled.labels[train]).tolist() == [5, 5, 5, 5]
    assert set(train) != set(labelled.split(2)[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pretrain.batch_size=65", "64 unlabelled images do not fill one batch of 65"),
        ("unlabelled.source=", r"unlabelled\.source is empty"),
        ("weights.file=", r"weights\.file is empty"),
        ("pretrain.methods=vicreg,moco", r"allowed vicreg, .* Received: moco"),
        ("pretrain.temperature=0.3", r"pretrain\.temperature .*simclr"),
    ],
)
def test_bad_input_is_named_before_anything_is_written(place, change, words):
    with pytest.raises(ConfigError, match=words):
        prepare_pretraining(None, settings(place, "bad", change), show_progress=False)
    assert not (place / "bad").exists()


def test_dry_run_writes_nothing_and_says_what_would_be_done(place, capsys):
    flags = [
        "--weights", str(place / "tiny.h5"), "--unlabelled", f"npz:{place / 'unlabelled.npz'}",
        "--method", "vicreg,byol", "--seeds", "2", "--size", "16", "--batch-size", "16",
        "-o", str(place / "dry"), "--dry-run", "--json",
    ]  # fmt: skip
    assert main(["pretrain", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pretrainings"] == ["vicreg_seed1", "vicreg_seed2", "byol_seed1", "byol_seed2"]
    assert found["labelled"] == 0 and not (place / "dry").exists()
    # 64 images are four batches of 16, and 125 epochs of four updates are 500.
    assert found["notes"][-1].startswith("40 updates in 10 epochs of 64 images are few")
    assert found["notes"][-1].count("Set pretrain.epochs = 125 for 500")
    assert main(["pretrain", *flags, "--set", "pretrain.epochs=125"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []


@pytest.mark.parametrize(
    ("change", "is_noted"),
    [("augment.flip_x=0.5", False), ("augment.flip_y=0.5", True), ("augment.rotation=90", True)],
)
def test_images_that_are_turned_before_rotation_asks_are_noted(place, change, is_noted):
    more = ("pretrain.methods=vicreg,rotation", change)
    prepared = prepare_pretraining(None, settings(place, "turned", *more), show_progress=False)
    assert is_noted == any("rotation asks which way up" in note for note in prepared.notes)


def test_alarms_reach_the_journal_and_the_report(tmp_path):
    healthy = {"spread": 0.9, "rank": 8.0, "rank_share": 1.0, "neighbours": 0.8}
    history = History(
        [
            EpochRecord(number, "train", 16, 0.1, 1.0, dict(healthy, spread=spread), {"train": 1.0})
            for number, spread in ((1, 0.9), (2, 0.1))
        ]
    )
    with RunFolder.create(tmp_path / "run", "", {}) as folder:
        _keep_pretraining(folder, PretrainCell("byol", 1), PretrainResult.of(history, 4), None)
        records = list(folder.journal)
    assert [len(record["alarms"]) for record in records[:2]] == [0, 1]
    page = write_pretraining_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "byol_seed1, epoch 2: collapse: all outputs are nearly alike" in page
    assert "No verdict yet." in page


def test_the_report_is_drawn_again_as_it_was(run, capsys):
    page = run.folder / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert main(["report", str(run.folder)]) == 0
    assert page.read_bytes() == before


def test_a_folder_without_a_journal_has_no_report(tmp_path):
    with pytest.raises(RunError):
        write_pretraining_report(tmp_path)
