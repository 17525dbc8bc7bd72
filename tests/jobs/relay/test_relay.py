"""A training handed from folder to folder: whole, in order, of the same images, or refused."""

import hashlib
import itertools
import json
import os
import random
import shutil
import time
import zipfile

import numpy as np
import pytest
from page_checks import Page
from PIL import Image
from tiny_recipe import quarters, tiny_donor
from traced_trainers import share_trainers, spoil

from efn_compose.assess.out_of_fold import read_predictions
from efn_compose.cli import main
from efn_compose.data import load_table
from efn_compose.data.folding.fold_table import write_fold_table
from efn_compose.errors import ConfigError, DataError, RunError
from efn_compose.jobs.relay import job
from efn_compose.jobs.relay.deadline import Deadline, TimeIsUp
from efn_compose.jobs.relay.job import accept, run_leg
from efn_compose.jobs.relay.parcel import read_manifest
from efn_compose.jobs.trainings.watching.progress import TrainingProgress
from efn_compose.store.file_hash import file_sha256

FOLDS = "lr=0.02/folds=5.csv"
SETTINGS = [
    "data.size=16", "validation.seeds=2", "train.epochs=3", "train.batch_size=16",
    "train.learning_rate=0.02", "train.ema=0.9", "executor.kind=serial",
]  # fmt: skip


def write_photos(folder):
    """Write 40 images into a folder per class."""
    images, labels = quarters(40)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / "abcd"[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "abcd"[label] / f"photo {number} ø.png")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("relay")
    # Paths of experiments have "=" in them, as labels of donors do.
    (folder / "lr=0.02").mkdir()
    tiny_donor().save(folder / "lr=0.02" / "ema=0.9.h5")
    write_photos(folder / "photos")
    # Folds name the images as they were seen where the folds were cut.
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        table = load_table("folder:photos")
    write_fold_table(table, np.arange(len(table)) % 5, folder / FOLDS)
    return folder


def words(place, run):
    weights = place / "lr=0.02" / "ema=0.9.h5"
    named = [f"weights.file={weights}", f"data.source=folder:{place / 'photos'}"]
    named += [f"validation.file={place / FOLDS}"]
    return [*named, *SETTINGS, f"run.path={place / run}"]


@pytest.fixture(scope="module")
def traced():
    """Trainers of the run that is not disturbed, for all legs."""
    return {}


@pytest.fixture(scope="module")
def undisturbed(place, traced):
    with pytest.MonkeyPatch.context() as patch:
        share_trainers(patch, traced)
        return run_leg("train", None, words(place, "undisturbed"), quiet=True).folder


class PulledError(BaseException):
    """Stands for a kill: nothing of ours catches it, and what is on the disk counts."""


def pull_the_plug(*_):
    raise PulledError


def stop_after(monkeypatch, updates, how=TimeIsUp):
    """Let time be up in the middle of the work, after so many updates from now."""
    counter, original = itertools.count(1), TrainingProgress.on_update

    def tick(self, done, planned, loss):
        if next(counter) == updates:
            raise how
        original(self, done, planned, loss)

    monkeypatch.setattr(TrainingProgress, "on_update", tick)


@pytest.fixture(scope="module")
def legs(place, undisturbed, traced):
    """Three legs in three folders; the first two were stopped in the middle of an epoch."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)
        share_trainers(patch, traced)
        first = run_leg("train", None, words(place, "one"), parcel=place / "1.efn", quiet=True)
    # The next one has neither the folder nor the weights of the first, nor what its trainer held.
    (place / "one").rename(place / "gone")
    # Killed while it unpacks, then in the middle of its second epoch: the same call goes on.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "settle", pull_the_plug)
        with pytest.raises(PulledError):
            accept(place / "1.efn", place / "two", quiet=True)
    with pytest.raises(RunError, match="not unpacked to the end"):
        run_leg("train", place / "two" / "config.toml", [f"run.path={place / 'two'}"], resume=True)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5, PulledError)
        with pytest.raises(PulledError):
            accept(place / "1.efn", place / "two", next_parcel=place / "2.efn", quiet=True)
    assert not (place / "2.efn").exists()
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 6)
        share_trainers(patch, traced)
        spoil(traced.values())
        second = accept(place / "1.efn", place / "two", next_parcel=place / "2.efn", quiet=True)
    moved = shutil.copytree(place / "photos", place / "elsewhere")
    source = f"data.source=folder:{moved}"
    with pytest.MonkeyPatch.context() as patch:
        share_trainers(patch, traced)
        spoil(traced.values())
        third = accept(
            place / "2.efn", place / "three", [source], next_parcel=place / "3.efn", quiet=True
        )
    return first, second, third


@pytest.mark.slow
def test_three_legs_in_three_folders_end_as_one_training_does(place, undisturbed, legs):
    first, second, third = legs
    assert first.result is None and second.result is None and third.result is not None
    files = [p.relative_to(undisturbed) for p in sorted(undisturbed.rglob("*.h5"))]
    assert len(files) == 4
    for name in [*files, "leaderboard.md", "result.json"]:
        assert (place / "three" / name).read_bytes() == (undisturbed / name).read_bytes(), name
    # Images are named by where they are, which is another place in the third leg.
    ours, theirs = (
        read_predictions(f / "out_of_fold.parquet") for f in (place / "three", undisturbed)
    )
    assert np.array_equal(ours.number, theirs.number)
    assert np.array_equal(ours.probability, theirs.probability)
    folds = (place / "three" / "folds.csv").read_text().splitlines()
    assert [line.rpartition(",")[2] for line in folds[1:]] == [str(n % 5) for n in range(40)]
    # Each file that the configuration names travels once.
    inputs = [name for name in read_manifest(place / "3.efn")["files"] if "inputs/" in name]
    assert sorted(inputs) == ["inputs/0/ema=0.9.h5", "inputs/1/folds=5.csv"]
    chain = third.legs
    assert [leg.number for leg in chain] == [1, 2, 3] and chain[0].state_before == ""
    assert all(b.state_before == a.state_after for a, b in itertools.pairwise(chain))
    assert chain[2].ended["journal"] == 2 and chain[2].ended["epochs"] == 6
    assert "bit for bit" in third.notes[0]
    page = Page((place / "three" / "legs.html").read_text(encoding="utf-8"))
    assert "epochs 0 to" in page.text and not page.find("script")


@pytest.mark.slow
def test_parcels_are_whole_or_refused(place, legs, tmp_path):
    whole = (place / "2.efn").read_bytes()
    chance = random.Random(5)
    for _ in range(20):
        (tmp_path / "cut.efn").write_bytes(whole[: chance.randrange(len(whole))])
        with pytest.raises(RunError, match="truncated"):
            accept(tmp_path / "cut.efn", tmp_path / "run", quiet=True)
        place_of = chance.randrange(len(whole))
        other = bytes([whole[place_of] ^ (1 << chance.randrange(8))])
        (tmp_path / "flipped.efn").write_bytes(whole[:place_of] + other + whole[place_of + 1 :])
        try:
            found = read_manifest(tmp_path / "flipped.efn")
        except RunError:
            continue
        # A flipped bit of the archive's own bookkeeping that changes no content.
        assert found == read_manifest(place / "2.efn")
    assert not (tmp_path / "run").exists()


def rewritten(parcel, to, change):
    """Write a parcel whose manifest was changed by somebody who knows how to seal it."""
    with zipfile.ZipFile(parcel) as old, zipfile.ZipFile(to, "w") as new:
        manifest = json.loads(old.read("manifest.json"))
        change(manifest)
        text = json.dumps(manifest)
        new.writestr("manifest.json", text)
        new.writestr("manifest.sha256", hashlib.sha256(text.encode()).hexdigest())
        for name in manifest["files"]:
            new.writestr(name, old.read(name))
    return to


def test_no_name_in_a_parcel_leads_out_of_the_folder(tmp_path):
    outside = tmp_path / "outside.txt"
    for name in (f"run/{outside}", "run/../../outside.txt", "inputs//x", "run", "run/a\\b"):
        files = {name: hashlib.sha256(b"text").hexdigest()}
        text = json.dumps({"parcel": 1, "files": files})
        with zipfile.ZipFile(tmp_path / "forged.efn", "w") as archive:
            archive.writestr("manifest.json", text)
            archive.writestr("manifest.sha256", hashlib.sha256(text.encode()).hexdigest())
            archive.writestr(name, b"text")
        with pytest.raises(RunError, match="altered on the way"):
            accept(tmp_path / "forged.efn", tmp_path / "there" / "run", quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["forged.efn"]


@pytest.mark.slow
def test_other_versions_images_and_orders_are_refused_with_the_reason(place, legs, tmp_path):
    def age(manifest):
        manifest["environment"]["packages"]["keras"] = "3.1.0"

    def swap(manifest):
        manifest["legs"].reverse()

    old = rewritten(place / "2.efn", tmp_path / "old.efn", age)
    with pytest.raises(RunError, match=r"keras: 3\.1\.0 in the parcel"):
        accept(old, tmp_path / "run", quiet=True)
    with pytest.raises(RunError, match="out of order"):
        accept(rewritten(place / "2.efn", tmp_path / "s.efn", swap), tmp_path / "run", quiet=True)
    for parcel, folder in (("1.efn", "three"), ("3.efn", "three")):
        with pytest.raises(RunError, match="already at leg 3"):
            accept(place / parcel, place / folder, quiet=True)
    photos = write_photos(tmp_path / "photos")
    gone = next(iter(sorted(photos.rglob("*.png"))))
    altered = sorted(photos.rglob("*.png"))[-1]
    gone.unlink()
    pixels = np.asarray(Image.open(altered)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(altered)
    with pytest.raises(DataError, match="1 missing here") as error:
        accept(place / "1.efn", tmp_path / "run", [f"data.source=folder:{photos}"], quiet=True)
    assert gone.name in str(error.value) and altered.name in str(error.value)
    for word in ("train.epochs=5", "unlabelled.source=digits", "run.seed=5"):
        with pytest.raises(ConfigError, match=r"would change the run.*data\.source"):
            accept(place / "1.efn", tmp_path / "run", [word], quiet=True)
    wrong = ["executor.workers=abc", "executor.kind=serial", "executor.workers=3"]
    with pytest.raises(ConfigError, match=r"--set cannot be used[^/]*executor\.workers: allowed"):
        accept(place / "1.efn", tmp_path / "run", wrong[:1], quiet=True)
    with pytest.raises(ConfigError, match=r"executor\.workers = 3 has no effect"):
        accept(place / "1.efn", tmp_path / "run", wrong[1:], quiet=True)
    with pytest.raises(ConfigError, match="a file, not a folder"):
        accept(place / "1.efn", altered, quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_folder_changed_outside_of_the_relay_is_noticed(place, legs, tmp_path):
    folder = shutil.copytree(place / "two", tmp_path / "two")
    next(iter(sorted(folder.rglob("history.jsonl")))).write_text("")
    with pytest.raises(RunError, match="changed since leg 2"):
        accept(place / "3.efn", folder, quiet=True)


@pytest.mark.slow
def test_a_dry_run_checks_and_writes_nothing(place, legs, tmp_path, capsys):
    before = file_sha256(place / "2.efn")
    command = ["relay", "accept", str(place / "2.efn"), "-o", str(tmp_path / "run"), "--dry-run"]
    assert main(command) == 0
    assert "whole and fits" in capsys.readouterr().out
    assert not (tmp_path / "run").exists() and file_sha256(place / "2.efn") == before


def test_a_parcel_that_could_not_be_written_is_refused_before_the_work(place):
    wrong = {"inside/out.efn": "lies in the run folder", "nowhere/out.efn": "does not exist"}
    for parcel, reason in wrong.items():
        with pytest.raises(ConfigError, match=reason):
            run_leg("train", None, words(place, "inside"), parcel=place / parcel, quiet=True)
    named = [*words(place, "inside")[1:], f"weights.file={place / 'photos'}"]
    with pytest.raises(ConfigError, match=r"weights\.file: .*photos is no single file"):
        run_leg("train", None, named, parcel=place / "out.efn", quiet=True)
    for hours in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="allowed 0"):
            run_leg("train", None, words(place, "inside"), hours=hours, quiet=True)
    assert not (place / "inside").exists()


@pytest.mark.slow
def test_the_hours_of_a_leg_run_while_its_parcel_is_checked(place, legs, tmp_path, monkeypatch):
    now, deadlines = [100.0], []

    def slow(*_):
        now[0] += 3600

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(job, "check_images", slow)
    done = job.LegSummary(tmp_path, None, (), None)
    monkeypatch.setattr(job, "_run_leg", lambda *given: deadlines.append(given[3]) or done)
    accept(place / "1.efn", tmp_path / "run", hours=1.5, quiet=True)
    # Half an hour is left, less what is kept for the parcel.
    deadlines[0].after_epoch(800)
    with pytest.raises(TimeIsUp):
        deadlines[0].after_epoch(900)


@pytest.mark.slow
def test_no_leg_ends_before_it_can_be_handed_on(place, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    for name in ("legs.jsonl", "legs.html"):
        (folder / name).unlink()
    files = sorted(folder.rglob("*"))
    settings = [*words(place, "run")[:-1], f"run.path={folder}"]
    with pytest.raises(RunError, match="before all images were read"):
        run_leg(
            "train",
            None,
            settings,
            hours=1e-9,
            parcel=tmp_path / "out.efn",
            resume=True,
            quiet=True,
        )
    # The lock, at most, is there beside the run.
    assert {path.name for path in folder.rglob("*") if path not in files} <= {"lock"}
    assert not (tmp_path / "out.efn").exists()


def test_who_has_no_name_is_known_by_number(monkeypatch):
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    assert job._user() == "user 54321"


def test_a_deadline_ends_what_runs_and_no_epoch_begins_that_could_not_end():
    with pytest.raises(TimeIsUp), Deadline(0.05 / 3600):
        while True:
            pass
    with Deadline(1.0) as deadline:
        deadline.after_epoch(1000)
        with pytest.raises(TimeIsUp):
            deadline.after_epoch(2000)
