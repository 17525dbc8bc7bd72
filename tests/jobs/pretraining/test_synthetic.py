"""CycleGAN as a person uses it: per fold, its images marked, its table read, bad input refused."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image
from tiny_recipe import quarters, tiny_donor
from traced_trainers import share_pretrainers, spoil

from efn_compose.cli.shared.command import main
from efn_compose.data import load_table
from efn_compose.donors import load_donor
from efn_compose.errors import ConfigError, DataError
from efn_compose.jobs.pretraining.job import pretrain
from efn_compose.jobs.pretraining.preparation import prepare_pretraining
from efn_compose.jobs.pretraining.worker import PretrainWorker
from efn_compose.jobs.trainings.cell_folder import FolderWatcher
from efn_compose.store.journal import read_journal
from efn_compose.train.selfsup.adversarial import translator

# Whichever test comes first makes the run of all.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A donor, a table of 48 images of two classes and 24 patients, and its folds."""
    folder = tmp_path_factory.mktemp("synthetic")
    tiny_donor().save(folder / "tiny.h5")
    lines = ["image,label,patient"]
    for number, (image, label) in enumerate(zip(*quarters(48, seed=3), strict=True)):
        Image.fromarray(image).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{('ill', 'well')[label // 2]},p{number // 2}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    source = f"csv:{folder / 'images.csv'}"
    folds = ["folds", source, "--count", "3", "--quiet", "-o", str(folder / "folds.csv")]
    assert main(folds) == 0
    return folder


def settings(place, *more):
    return [
        f"weights.file={place / 'tiny.h5'}", f"unlabelled.source=csv:{place / 'images.csv'}",
        f"labelled.source=csv:{place / 'images.csv'}", f"labelled.folds={place / 'folds.csv'}",
        "labelled.fold=1", "labelled.seeds=2", "labelled.epochs=1", "unlabelled.size=16",
        "unlabelled.overlap=leave_out", "pretrain.methods=cyclegan", "pretrain.epochs=2",
        "pretrain.batch_size=8", "pretrain.monitor_images=32", "pretrain.synthetic_images=5",
        "executor.workers=1", f"run.path={place / 'run'}", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def traced():
    """The trainers of the run, by name."""
    return {}


@pytest.fixture(scope="module")
def run(place, traced):
    with pytest.MonkeyPatch.context() as patch:
        # One residual block and one stride are made and kept as more are, and traced in less time.
        patch.setattr(translator, "_BLOCKS", 1)
        patch.setattr(translator, "_WIDTHS", (32, 64))
        share_pretrainers(patch, traced)
        return pretrain(overrides=settings(place), quiet=True)


def test_a_killed_run_goes_on_to_the_same_bytes(place, run, traced, monkeypatch):
    def killed(self, history):
        raise KeyboardInterrupt

    monkeypatch.setattr(PretrainWorker, "trainer", lambda self, name, make: traced[name])
    overrides = settings(place, f"run.path={place / 'killed'}")
    with monkeypatch.context() as patch:
        patch.setattr(FolderWatcher, "on_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(overrides=overrides, quiet=True)
    # What the critics remember must come from the file, as all else.
    spoil(traced.values())
    found = pretrain(overrides=overrides, resume=True, quiet=True)
    assert found.weights.read_bytes() == run.weights.read_bytes()
    for path in sorted((run.folder / "synthetic").iterdir()):
        assert (found.folder / "synthetic" / path.name).read_bytes() == path.read_bytes()
    records = read_journal(run.folder / "evaluations.jsonl").records
    _, last = (record["monitors"] for record in records if "epoch" in record)
    assert 0 <= last["target_share"] <= 1 and 0 < last["cycle"] < 1
    assert {"critic_gap", "penalty"} <= last.keys()


def test_synthetic_images_are_of_one_fold_and_say_what_they_are(place, run):
    assert any("has read the labels ill and well of" in note for note in run.notes)
    (seen,) = load_donor(run.weights).provenance["pretrained"]
    assert seen["labels_of"] == ["ill", "well"]
    with (place / "folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    judging = {row["image"] for row in rows if row["fold"] == "1"}
    assert judging and seen["images"] == 48 - len(judging)
    with (run.folder / "synthetic" / "synthetic.csv").open() as file:
        made = list(csv.DictReader(file))
    assert len(made) == 10 and not judging & {row["made_from"] for row in made}
    table = load_table(f"csv:{run.folder / 'synthetic' / 'synthetic.csv'}")
    labels = quarters(48, seed=3)[1]
    for number, row in enumerate(made):
        source = int(row["made_from"].removesuffix(".png").rpartition("/")[2])
        assert row["label"] == ("well", "ill")[labels[source] // 2]
        assert row["patient"] == f"p{source // 2}" == table.group_name(number)
        assert row["image"].startswith("synthetic_") and row["kind"] == "synthetic"
        with Image.open(run.folder / "synthetic" / row["image"]) as picture:
            assert picture.text["Description"].startswith("synthetic")
    assert (run.folder / "synthetic.png").is_file()
    assert "nobody took these pictures" in (run.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ("pretrain.between=ill,healthy", DataError, r"classes ill, well\. Not found: healthy"),
        ("pretrain.between=ill", ConfigError, r"pretrain\.between: two classes"),
        (
            "unlabelled.overlap=transductive",
            ConfigError,
            r"reads labels, and 1\d of its images judge",
        ),
        ("pretrain.batch_size=40", DataError, r"a batch of 40 together"),
        ("labelled.folds=", DataError, r"all 48 unlabelled images judge"),
        ("pretrain.methods=rotation", ConfigError, r"pretrain\.synthetic_images .*cyclegan"),
    ],
)
def test_bad_input_is_named_before_anything_is_written(place, change, error, words):
    path = f"run.path={place / 'bad'}"
    more = ("labelled.fold=0",) if change == "labelled.folds=" else ()
    with pytest.raises(error, match=words):
        prepare_pretraining(None, settings(place, path, change, *more), show_progress=False)
    assert not (place / "bad").exists()


def test_updates_are_counted_of_the_images_of_both_classes_alone(place):
    prepared = prepare_pretraining(None, settings(place), show_progress=False)
    images, pair = prepared.images, prepared.images.pair
    some = dataclasses.replace(pair, numbers=pair.numbers[:16], labels=pair.labels[:16])
    fewer = dataclasses.replace(prepared, images=dataclasses.replace(images, pair=some))
    assert fewer.notes[-1].startswith("4 updates in 2 epochs of 16 images are few")
    assert images.count_of("vicreg") == len(images.unlabelled)


def test_other_methods_may_leave_out_what_judges_too(place):
    more = ("pretrain.methods=vicreg", "pretrain.synthetic_images=100")
    images = prepare_pretraining(None, settings(place, *more), show_progress=False).images
    judging = images.labelled.images[images.labelled.judges]
    assert images.left_out == len(judging) and images.both == 0 and images.pair is None
    for image in judging:
        assert not (images.unlabelled == image).all(axis=(1, 2, 3)).any()
    assert len(np.unique(images.unlabelled, axis=0)) == 48 - len(judging)
