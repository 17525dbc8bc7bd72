"""`efn-compose train`: matrices of trainings as a person runs them, on a tiny network."""

import json
import statistics

import numpy as np
import pytest
from executor_kinds import keep_ray
from killed_at_the_line import count_epochs, kill_after_the_line, kill_before_the_line
from PIL import Image
from tiny_recipe import quarters, tiny_donor
from traced_trainers import share_trainers, spoil

import efn_compose
from efn_compose.assess.out_of_fold import check_out_of_fold, read_predictions
from efn_compose.cli import main
from efn_compose.data import ImageTable
from efn_compose.data.draw import draw_images
from efn_compose.data.folding.fold_table import write_fold_table
from efn_compose.errors import ConfigError, DataError
from efn_compose.jobs.trainings import job
from efn_compose.jobs.trainings.job import train
from efn_compose.jobs.trainings.leaderboard import leaderboard_text, rank_networks
from efn_compose.jobs.trainings.preparation import prepare_trainings
from efn_compose.jobs.trainings.watching.progress import TrainingProgress
from efn_compose.store import read_journal
from efn_compose.train.recipe import Classification, TrainingData


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainings")
    tiny_donor().save(folder / "tiny.h5")
    images, labels = quarters(64)
    np.savez(folder / "images.npz", images=images, labels=labels)
    return folder


def settings(place, name, **changes):
    values = {
        "weights.file": place / "tiny.h5",
        "data.source": f"npz:{place / 'images.npz'}",
        "data.size": 16,
        "validation.folds": 2,
        "validation.seeds": 2,
        "train.epochs": 2,
        "train.learning_rate": 0.02,
        "executor.kind": "serial",
        "run.path": place / name,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in values.items()]


@pytest.fixture(scope="module")
def traced():
    """Trainers of the run that is not disturbed, for the one that will be."""
    return {}


@pytest.fixture(scope="module")
def undisturbed(place, traced):
    with pytest.MonkeyPatch.context() as patch:
        share_trainers(patch, traced)
        return train(overrides=settings(place, "undisturbed"), quiet=True)


@pytest.mark.slow
def test_a_matrix_leaves_weights_scores_and_every_image_judged_once(undisturbed, place):
    folder = undisturbed.folder
    assert {path.name for path in (folder / "trainings").iterdir()} == {
        f"b-tiny_fold{fold}_seed{seed}" for fold in (0, 1) for seed in (1, 2)
    }
    predictions = read_predictions(undisturbed.predictions)
    check_out_of_fold(predictions, images=64)
    records = read_journal(folder / "evaluations.jsonl").records
    standing = undisturbed.leaderboard[0]
    assert standing.means["accuracy"] == pytest.approx(
        statistics.fmean(record["scores"]["accuracy"] for record in records)
    )
    # The file's network is the one that was scored.
    donor = efn_compose.load_donor(folder / "trainings/b-tiny_fold0_seed1/last.h5")
    rows = predictions.of_training("b-tiny", 1)
    rows = rows.rows(rows.fold == 0)
    logits = np.asarray(donor.build()(donor.preprocess(quarters(64)[0][rows.number])))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert rows.probability == pytest.approx(shares, abs=1e-4)
    result = json.loads((folder / "result.json").read_text())
    assert result["leaderboard"][0]["trainings"] == 4
    assert not list(folder.rglob("state.npz")) and not list(folder.rglob("*.partial"))


@pytest.mark.slow
def test_an_interrupted_matrix_goes_on_and_ends_the_same(undisturbed, place, traced, monkeypatch):
    arguments = [
        "train", "--quiet", "--set", *settings(place, "interrupted"),
    ]  # fmt: skip
    count = 0
    original = TrainingProgress.on_update

    def interrupt(self, done, planned, loss):
        nonlocal count
        count += 1
        # One update per epoch: in the second epoch of the second training.
        if count == 4:
            raise KeyboardInterrupt
        original(self, done, planned, loss)

    monkeypatch.setattr(TrainingProgress, "on_update", interrupt)
    share_trainers(monkeypatch, traced)
    assert main(arguments) == 130
    spoil(traced.values())
    assert len(read_journal(place / "interrupted/evaluations.jsonl").records) == 1
    assert main(arguments) == 1
    assert main([*arguments, "--resume"]) == 0
    assert count == 4 + 1 + 4
    for path in sorted(undisturbed.folder.rglob("*.h5")):
        twin = place / "interrupted" / path.relative_to(undisturbed.folder)
        assert twin.read_bytes() == path.read_bytes(), path
    name = undisturbed.predictions.name
    assert (place / "interrupted" / name).read_bytes() == undisturbed.predictions.read_bytes()


@pytest.mark.slow
def test_a_training_that_ended_is_never_made_again(undisturbed, place, traced, monkeypatch):
    """Killed before the line of the first one, then between its line and the end of its state."""
    arguments = ["train", "--quiet", "--set", *settings(place, "at_the_line")]
    folder = place / "at_the_line"
    share_trainers(monkeypatch, traced)
    with monkeypatch.context() as patch:
        kill_before_the_line(patch)
        assert main(arguments) == 130
    assert len(list(folder.rglob("state.npz"))) == 1
    assert not read_journal(folder / "evaluations.jsonl").records
    # As if it had been killed between the last epoch's state and that epoch's line, too.
    (history,) = folder.rglob("history.jsonl")
    whole = history.read_text()
    history.write_text(whole.splitlines(keepends=True)[0])
    spoil(traced.values())
    made = count_epochs(monkeypatch)
    with monkeypatch.context() as patch:
        kill_after_the_line(patch, job, "forget_state")
        assert main([*arguments, "--resume"]) == 130
    assert len(list(folder.rglob("state.npz"))) == 1 and not made
    assert history.read_text() == whole
    assert main([*arguments, "--resume"]) == 0
    assert made == 3 * [0, 1] and not list(folder.rglob("state.npz"))
    for path in sorted([*undisturbed.folder.rglob("*.h5"), *undisturbed.folder.rglob("*.csv")]):
        twin = folder / path.relative_to(undisturbed.folder)
        assert twin.read_bytes() == path.read_bytes(), path


@pytest.mark.slow
def test_unlabelled_images_from_a_folder_without_classes(place, tmp_path, capsys):
    method = "noisy-student"
    images, _ = quarters(40, seed=4)
    with np.load(place / "images.npz") as file:
        known = file["images"][:3]
    (tmp_path / "new").mkdir()
    for number, image in enumerate([*images, *known]):
        Image.fromarray(image).save(tmp_path / "new" / f"bild {number} ø.png")
    command = ["train", "--semi", method, "--unlabelled", f"folder:{tmp_path / 'new'}"]
    changes = {"validation__folds": 1, "validation__seeds": 1, "train__batch_size": 16}
    more = {"semi__confidence": 0.0, "semi__rounds": 1}
    words = settings(place, method, **changes, **more)
    assert main([*command, "--set", *words]) == 0
    said = capsys.readouterr()
    assert "3 unlabelled images are among the labelled ones" in said.err
    history = (place / method / "history.jsonl").read_text().splitlines()
    assert len(history) == 2
    assert (place / method / "last.h5").exists() and not list((place / method).glob("state*"))
    # A fifth of 64 images, four classes in equal parts.
    assert len(read_predictions(place / method / "out_of_fold.parquet")) in (12, 13)


@pytest.mark.slow
def test_workers_of_ray_make_what_one_process_makes(undisturbed, place):
    keep_ray()
    changes = {"executor__kind": "ray", "executor__workers": 2}
    summary = train(overrides=settings(place, "ray", **changes), quiet=True)
    for path in sorted(undisturbed.folder.rglob("last.h5")):
        twin = summary.folder / path.relative_to(undisturbed.folder)
        assert twin.read_bytes() == path.read_bytes(), path


@pytest.mark.slow
def test_what_cannot_be_trained_is_said_before_anything_is_written(place, capsys):
    wrong = [
        ({"train__optimizer": "adamm"}, "Did you mean 'adam'"),
        ({"train__class_weights": "1,2"}, "expected 4"),
        ({"weights__variants": "v2-s"}, "cannot be nested"),
        ({"validation__folds": 17}, "class '0' is in 16 images"),
        ({"augment__grid": 0.5, "augment__grid_cells": 5}, "grid_cells = 5"),
        ({"data__source": ""}, "Name your images"),
        ({"semi__method": "noisy-student"}, "semi.unlabelled is empty"),
        (
            {"semi__method": "mean-teacher", "semi__unlabelled": "digits", "train__mixup": 0.2},
            "two views",
        ),
        ({"weights__file": ""}, "Name a weight file"),
        ({"weights__fill": "zero"}, 'weights.fill = "zero" has no effect'),
    ]
    for changes, words in wrong:
        code = main(["train", "--set", *settings(place, "wrong", **changes)])
        assert code in (1, 2) and words in capsys.readouterr().err, changes
    assert not (place / "wrong").exists()


def test_dry_run_lists_the_trainings_and_writes_nothing(place, capsys):
    words = settings(place, "dry", weights__variants="b-tiny")
    with pytest.raises(ConfigError, match="b-tiny"):
        prepare_trainings(None, words)
    assert main(["train", "--dry-run", "--json", "--set", *settings(place, "dry")]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["trainings"]) == 4 and plan["images"] == 64 and plan["notes"] == []
    assert not (place / "dry").exists()


def test_larger_networks_start_with_the_weights_nested(place):
    images, _ = quarters(8)
    small = efn_compose.Donor.replace(tiny_donor(), name="small")
    from random_donors import random_donor

    small = random_donor("b-w0.1-d0.3", classes=None)
    small.save(place / "small.h5")
    changes = {"weights__file": place / "small.h5", "weights__variants": "b-w0.1-d0.3,b-w0.1-d0.6"}
    prepared = prepare_trainings(None, settings(place, "nested", **changes))
    assert list(prepared.donors) == ["b-w0.1-d0.3", "b-w0.1-d0.6"]
    assert len(prepared.cells) == 8
    changes |= {"weights__fill": "zero", "weights__variants": "b-w0.1-d0.3"}
    with pytest.raises(ConfigError, match=r"is that of the weight file\. Remove weights\.fill"):
        prepare_trainings(None, settings(place, "nested", **changes))
    from efn_compose.models.stepwise import StepwiseNetwork

    one, two = (
        np.asarray(StepwiseNetwork.of(donor).run(donor.preprocess(images)))
        for donor in prepared.donors.values()
    )
    assert one == pytest.approx(two[..., : one.shape[-1]], abs=1e-3)


def test_leaderboard_averages_seeds_and_errs_over_folds():
    scores = {0: (0.5, 0.7), 1: (0.8, 0.8), 2: (0.6, 0.8)}
    records = [
        {"training": f"b0{fold}{seed}", "variant": "b0", "fold": fold, "seed": seed,
         "scores": {"accuracy": value}, "error": None}
        for fold, values in scores.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    records.append(records[0] | {"training": "b1", "variant": "b1", "scores": {"accuracy": 0.9}})
    records.append(records[0] | {"training": "b2", "variant": "b2", "error": "no", "scores": {}})
    best, second, last = rank_networks(records, "accuracy")
    # That of b1 is of one fold alone.
    assert (best.variant, second.variant, last.variant) == ("b0", "b1", "b2")
    assert best.means["accuracy"] == pytest.approx(0.7)
    # Folds: 0.6, 0.8, 0.7.
    assert best.errors["accuracy"] == pytest.approx(0.1 / 3**0.5)
    assert "0.7000 ± 0.0577" in leaderboard_text([best, second, last])
    assert second.errors["accuracy"] is None and last.failed == 1


def matrix(scores):
    """Records of scores by network, a loss per fold; None is a training that failed."""
    return [
        {"training": f"{variant}{fold}", "variant": variant, "fold": fold, "seed": 1,
         "scores": {} if loss is None else {"loss": loss}, "error": "no" if loss is None else None}
        for variant, losses in scores.items()
        for fold, loss in enumerate(losses)
    ]  # fmt: skip


def test_a_network_whose_hard_fold_failed_does_not_win():
    standings = rank_networks(matrix({"b2": (0.35, None), "b0": (0.3, 0.9)}), "loss")
    assert [row.variant for row in standings] == ["b0", "b2"]
    assert [row.missing for row in standings] == [(), (1,)]
    assert "b2: no score on fold 1" in leaderboard_text(standings)
    # None is complete: what is easy is nobody's advantage. b1 is better wherever both were scored.
    losses = {"b0": (0.2, 0.5, None), "b1": (None, 0.4, 0.9), "b2": (0.19, None, 1.2)}
    assert rank_networks(matrix(losses), "loss")[0].variant == "b1"
    # The order of complete networks is that of their means.
    rng = np.random.default_rng(0)
    losses = {f"b{n}": tuple(row) for n, row in enumerate(rng.normal(size=(6, 4)))}
    order = [row.variant for row in rank_networks(matrix(losses), "loss")]
    assert order == sorted(losses, key=lambda variant: np.mean(losses[variant]))


@pytest.mark.slow
def test_damaged_images_and_duplicates_are_listed_or_refused(place, tmp_path):
    images, labels = quarters(40)
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "photos" / f"класс {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"bild {number}.png")
    first = sorted((tmp_path / "photos" / "класс 0").iterdir())
    first[1].write_bytes(first[0].read_bytes())
    first[2].write_bytes(b"not an image")
    (tmp_path / "photos" / "класс 0" / "phone.heic").write_bytes(b"x")
    source = f"folder:{tmp_path / 'photos'}"
    with pytest.raises(DataError, match="1 of 40"):
        prepare_trainings(None, settings(place, "damaged", data__source=source))
    skip = {"data__source": source, "data__unreadable_share": 0.1}
    for seed in range(1, 20):
        words = [*settings(place, "damaged", **skip), f"run.seed={seed}"]
        prepared = prepare_trainings(None, words)
        if prepared.images.duplicates:
            break
    assert ["1 .heic" in note for note in prepared.images.notes] == [True]
    assert len(prepared.images.table) == 39 and len(prepared.images.unreadable) == 1
    assert len(prepared.images.duplicates) == 1
    with pytest.raises(DataError, match="bild"):
        prepare_trainings(None, [*words, "validation.duplicates=refuse"])
    joined = prepare_trainings(None, [*words, "validation.duplicates=join"])
    assert not joined.images.duplicates
    # Folds of the folds command are taken as they are.
    write_fold_table(joined.images.table, joined.images.folded.fold, tmp_path / "folds.csv")
    again = prepare_trainings(None, [*words, f"validation.file={tmp_path / 'folds.csv'}"])
    assert (again.images.folded.fold == joined.images.folded.fold).all()
    # Joined they may not be parted by a file either: what was asked for is there, or is refused.
    kept = [*words, f"validation.file={tmp_path / 'folds.csv'}", "validation.duplicates=join"]
    assert not prepare_trainings(None, kept).images.duplicates
    write_fold_table(prepared.images.table, prepared.images.folded.fold, tmp_path / "parted.csv")
    parted = [*words, f"validation.file={tmp_path / 'parted.csv'}", "validation.duplicates=join"]
    with pytest.raises(DataError, match=r"parted\.csv: .* efn-compose folds --duplicates join"):
        prepare_trainings(None, parted)


def test_a_class_that_a_fold_cannot_show_is_named_before_any_training(place, tmp_path):
    fold = np.arange(64) // 4 % 2
    table = prepare_trainings(None, settings(place, "areas")).images.table
    fold[(table.labels == 3) & (fold == 1)] = 0
    write_fold_table(table, fold, tmp_path / "folds.csv")
    words = settings(place, "areas", validation__file=tmp_path / "folds.csv")
    assert len(prepare_trainings(None, words).images.table) == 64
    for asked in ("data.metric=auc", "train.monitor=auc"):
        with pytest.raises(DataError, match="fold 1: no image of '3', so that there is no area"):
            prepare_trainings(None, [*words, asked])
    images, labels = quarters(16)
    data = TrainingData(tuple("abcd"), images, labels, images, np.minimum(labels, 2))
    Classification(4).check(data)
    with pytest.raises(DataError, match="validation: no image of 'd'"):
        Classification(4, metric="auc").check(data)


def test_drawn_images_keep_class_shares_and_whole_patients():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), rng.integers(1, 6, 200)).astype(np.int32)
    labels = (groups % 10 == 0).astype(np.int32)
    images = np.zeros((len(groups), 2, 2, 3), np.uint8)
    table = ImageTable(images, labels, ("no", "yes"), "made", groups)
    drawn = draw_images(table, 300, seed=1)
    assert 300 <= len(drawn) < 306
    assert drawn.labels.mean() == pytest.approx(labels.mean(), abs=0.03)
    sizes = dict(zip(*np.unique(groups, return_counts=True), strict=True))
    for patient, count in zip(*np.unique(drawn.groups, return_counts=True), strict=True):
        assert sizes[patient] == count


def test_train_is_a_folder_and_a_verb(place):
    assert callable(efn_compose.train) and efn_compose.train.__path__
    with pytest.raises(ConfigError, match="Name a weight file"):
        efn_compose.train()
