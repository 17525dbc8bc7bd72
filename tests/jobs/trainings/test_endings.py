"""What is assessed when the trainings of a run have ended."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss
from tiny_recipe import quarters, tiny_donor

from efn_compose.jobs.trainings.endings import end_classes
from efn_compose.jobs.trainings.leaderboard import rank_networks
from efn_compose.jobs.trainings.preparation import prepare_trainings


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("endings")
    tiny_donor().save(folder / "tiny.h5")
    images, labels = quarters(64)
    np.savez(folder / "images.npz", images=images, labels=labels)
    return folder


def settings(place, name, folds, seeds=2):
    values = {
        "weights.file": place / "tiny.h5",
        "data.source": f"npz:{place / 'images.npz'}",
        "data.size": 16,
        "validation.folds": folds,
        "validation.seeds": seeds,
        "executor.kind": "serial",
        "run.path": place / name,
    }
    return [f"{key}={value}" for key, value in values.items()]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3])
def test_one_fold_is_assessed_by_the_mean_of_all_seeds(place, seeds):
    prepared = prepare_trainings(None, settings(place, f"seeds{seeds}", 1, seeds))
    prepared.folder.mkdir()
    rng, labels = np.random.default_rng(seeds), prepared.images.table.labels
    numbers = np.arange(3, 33)
    shares = rng.dirichlet(np.ones(4), size=(seeds, len(numbers)))
    answers, records = {}, []
    for cell, probability in zip(prepared.cells, shares, strict=True):
        # Every training may list the images in an order of its own.
        order = rng.permutation(len(numbers))
        answers[cell.name] = numbers[order], probability[order]
        records.append(
            {"training": cell.name, "variant": cell.variant, "fold": 0, "seed": cell.seed,
             "error": None, "scores": {"loss": 1.0}}
        )  # fmt: skip
    ending = end_classes(prepared, answers, rank_networks(records, "loss"))
    mean, true = shares.mean(axis=0), labels[numbers]
    assert ending.values["accuracy"]["value"] == accuracy_score(true, mean.argmax(axis=1))
    assert ending.values["loss"] == pytest.approx(log_loss(true, mean, labels=range(4)), abs=1e-5)
    assert ending.values["images"] == 30 and len(ending.values["seeds"]) == seeds
    assert ending.words.startswith("30 images" if seeds == 1 else "mean of 3 seeds: 30 images")


@pytest.mark.slow
def test_an_assessment_says_which_folds_are_not_in_it(place):
    prepared = prepare_trainings(None, settings(place, "gap", folds=3))
    fold, classes = prepared.images.folded.fold, len(prepared.images.table.class_names)
    answers, records = {}, []
    for cell in prepared.cells:
        # Of the first seed one fold was trained, of the second two.
        is_lost = cell.fold == 1 or (cell.fold == 2 and cell.seed == prepared.cells[0].seed)
        records.append(
            {"training": cell.name, "variant": cell.variant, "fold": cell.fold, "seed": cell.seed,
             "error": "diverged" if is_lost else None, "scores": {} if is_lost else {"loss": 1.0}}
        )  # fmt: skip
        if not is_lost:
            numbers = np.flatnonzero(fold == cell.fold)
            answers[cell.name] = numbers, np.full((len(numbers), classes), 1 / classes)
    prepared.folder.mkdir()
    ending = end_classes(prepared, answers, rank_networks(records, "loss"))
    assert ending.words.startswith("No images of fold 1 are in this assessment")
    assert "\nseed 2 alone: " in ending.words and ending.values["seeds"] == [2]
    assert ending.values["missing_folds"] == [1]
    assert ending.values["images"] == np.isin(fold, [0, 2]).sum()


@pytest.mark.slow
def test_a_failed_first_seed_leaves_the_others_to_be_assessed(place):
    prepared = prepare_trainings(None, settings(place, "failed", folds=1))
    prepared.folder.mkdir()
    lost, kept = prepared.cells
    labels = prepared.images.table.labels[:8]
    answers = {kept.name: (np.arange(8), np.eye(len(prepared.images.table.class_names))[labels])}
    records = [
        {"training": cell.name, "variant": cell.variant, "fold": 0, "seed": cell.seed,
         "error": error, "scores": {} if error else {"accuracy": 1.0}}
        for cell, error in ((lost, "diverged"), (kept, None))
    ]  # fmt: skip
    ending = end_classes(prepared, answers, rank_networks(records, "accuracy"))
    assert ending.words.startswith("seed 2 alone: 8 images") and ending.values["seeds"] == [2]
    assert ending.values["accuracy"]["value"] == 1 and ending.values["images"] == 8
