"""`efn-compose train --task segment`: folders of masks to folds, scores, a page; and bad masks."""

import csv
import json
import shutil

import numpy as np
import pytest
from executor_kinds import keep_ray
from PIL import Image
from tiny_masks import disc_donor, discs

from efn_compose.arch import DecoderSpec
from efn_compose.cli import main
from efn_compose.data.masks.reading import read_masks
from efn_compose.data.table import UNLABELLED, ImageTable
from efn_compose.donors import load_donor
from efn_compose.donors.unet import attached, decoder_of
from efn_compose.errors import ConfigError, DataError, FurtherPartError
from efn_compose.jobs.decoders import attach
from efn_compose.jobs.predictions.masks import find_unets, predict_masks
from efn_compose.jobs.trainings.job import train
from efn_compose.jobs.trainings.masks.page import chosen_places
from efn_compose.jobs.trainings.masks.scores import stratified
from efn_compose.jobs.trainings.preparation import prepare_trainings
from efn_compose.store import read_journal

COUNT = 40


def write_pairs(folder, images, masks, pattern="{}_segmentation.png"):
    """Write images and their masks, as ISIC 2018 lays them out."""
    for part in ("input", "truth"):
        (folder / part).mkdir(parents=True)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        name = f"ISIC_{number:07}"
        Image.fromarray(image).save(folder / "input" / f"{name}.png")
        Image.fromarray(mask).save(folder / "truth" / pattern.format(name))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    disc_donor().save(folder / "tiny.h5")
    images, masks = discs(COUNT)
    write_pairs(folder / "isic", images, masks * 255)
    return folder


def settings(place, name, **changes):
    values = {
        "weights.file": place / "tiny.h5",
        "data.source": f"folder:{place / 'isic' / 'input'}",
        "data.masks": "../truth/*_segmentation.png",
        "data.size": 16,
        "objective.kind": "segment",
        "validation.folds": 2,
        "train.epochs": 3,
        "train.batch_size": 10,
        "train.learning_rate": 0.02,
        "train.monitor": "dice",
        "tta.views": "flip",
        "executor.kind": "serial",
        "run.path": place / name,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in values.items() if value is not None]


@pytest.fixture(scope="module")
def run(place):
    return train(overrides=settings(place, "run"), quiet=True)


@pytest.mark.slow
def test_a_run_leaves_weights_scores_of_each_image_and_a_page(run, place):
    folder = run.folder
    donor = load_donor(folder / "trainings" / "b-tiny_fold0_seed1" / "last.h5")
    assert decoder_of(donor) == DecoderSpec("classic", 2)
    with open(run.predictions, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == COUNT == len({row["image"] for row in rows})
    found = json.loads((folder / "result.json").read_text())["assessment"]
    assert found["classes"] == ["background", "foreground"] and found["images"] == COUNT
    assert found["scores"]["iou"] == pytest.approx(
        np.mean([float(r["iou"]) for r in rows]), abs=1e-6
    )
    assert all(
        float(r["iou"]) == pytest.approx(float(r["dice"]) / (2 - float(r["dice"])), abs=2e-6)
        for r in rows
    )
    assert found["scores"]["iou"] > 0.5, "two epochs of discs are learnt a little"
    assert "scores_at_what_other_folds_chose" in found["threshold"]
    assert run.leaderboard[0].means["dice"] > 0.5
    page = (folder / "masks.html").read_text()
    assert page.count("<figure>") == 12 and "http" not in page.replace("http-equiv", "")
    scores = [record["scores"] for record in read_journal(folder / "evaluations.jsonl").records]
    assert all({"loss", "iou", "dice", "iou_pooled", "dice_pooled"} <= set(s) for s in scores)


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(run, place):
    weights = run.weights.stat().st_mtime_ns
    again = train(overrides=settings(place, "run"), resume=True, quiet=True)
    assert again.assessment == run.assessment and run.weights.stat().st_mtime_ns == weights


@pytest.mark.slow
def test_a_worker_of_ray_makes_what_this_process_makes(run, place):
    # One worker: that two end in any order is proved by classifications.
    keep_ray()
    changes = {"executor__kind": "ray", "executor__workers": 1}
    summary = train(overrides=settings(place, "ray", **changes), quiet=True)
    paths = sorted(run.folder.rglob("last.h5"))
    assert len(paths) == 2
    for path in paths:
        twin = summary.folder / path.relative_to(run.folder)
        assert twin.read_bytes() == path.read_bytes(), path
    assert summary.predictions.read_bytes() == run.predictions.read_bytes()


@pytest.mark.slow
def test_new_images_get_masks_of_their_own_size(run, place, capsys, monkeypatch):
    images, masks = discs(6, seed=9)
    (place / "new").mkdir()
    for number, image in enumerate(images):
        large = Image.fromarray(image).resize((40, 24), Image.Resampling.BILINEAR)
        large.save(place / "new" / f"{number}.png")
    # As long as a name may be, and longer with a number in front: the last letter is cut in two.
    longest = place / "new" / f"9{125 * 'ä'}.png"
    (place / "new" / "5.png").rename(longest)
    words = ["predict", run.folder, "--data", f"folder:{place / 'new'}", "-o", place / "drawn"]
    assert main([str(word) for word in words]) == 0
    with open(place / "drawn" / "masks.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = [*(place / "new" / f"{n}.png" for n in range(5)), longest]
    assert [row["image"] for row in rows] == [str(file) for file in files]
    assert rows[-1]["mask"] == f"000005_9{99 * 'ä'}.png"
    both = wanted = found = 0
    for row, mask in zip(rows, masks, strict=True):
        drawn = np.asarray(Image.open(place / "drawn" / row["mask"]))
        assert drawn.shape == (24, 40) and set(np.unique(drawn)) <= {0, 255}
        true = np.asarray(Image.fromarray(mask).resize((40, 24), Image.Resampling.NEAREST)) == 1
        both, wanted, found = (
            both + (true & (drawn > 0)).sum(),
            wanted + true.sum(),
            found + (drawn > 0).sum(),
        )
        assert float(row["foreground"]) == pytest.approx((drawn > 0).mean(), abs=1e-6)
    assert 2 * both / (wanted + found) > 0.6, "what validation images are worth, new ones are"
    # One training's file alone knows its size; a folder with something in it is left alone.
    assert main([str(word) for word in words]) == 2
    assert "something here" in capsys.readouterr().err
    file = run.folder / "trainings" / "b-tiny_fold0_seed1" / "last.h5"
    one = predict_masks(file, f"folder:{place / 'new'}", place / "one", tta=1, threshold=0.5)
    assert one.images == 6 and one.threshold == 0.5
    shutil.copy(file, place / "copied.h5")
    assert [unet.size for unet in find_unets([str(file), str(place / "copied.h5")])] == [16, 16]
    with pytest.raises(ConfigError, match=r"here is none.*\n.*tiny\.h5"):
        predict_masks([file, place / "tiny.h5"], f"folder:{place / 'new'}", place / "two")
    attach(place / "tiny.h5", place / "three.h5", outputs=3)
    for file_of, changes, said in (
        (file, {"threshold": 7.0}, "between 0 and 1"),
        (place / "three.h5", {"threshold": 0.3, "size": 16}, "tell 3 apart"),
        (file, {"size": -16}, "8 or more"),
        (file, {"tta": 0}, "1 to 256"),
    ):
        with pytest.raises(ConfigError, match=said):
            predict_masks(file_of, f"folder:{place / 'new'}", place / "two", **changes)
    # A file that was copied away does not know what its run chose.
    both_files = predict_masks([file, place / "copied.h5"], f"folder:{place / 'new'}", place / "2")
    assert both_files.threshold is None and "chose other thresholds" in both_files.notes[0]
    monkeypatch.chdir(file.parent)
    assert find_unets(["last.h5"])[0].threshold == find_unets([str(file)])[0].threshold is not None
    (place / "new" / "9.png").write_bytes(b"no image")
    (place / "new" / "8.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="2 of 8 images cannot be decoded"):
        predict_masks(file, f"folder:{place / 'new'}", place / "two")
    assert not [path for path in place.iterdir() if "two" in path.name]
    with pytest.raises(ConfigError, match="not known"):
        attach(place / "tiny.h5", place / "fresh.h5")
        predict_masks(place / "fresh.h5", f"folder:{place / 'new'}", place / "two")


@pytest.mark.slow
def test_the_same_run_by_csv_by_npz_and_by_the_command_line(run, place):
    table = place / "table.csv"
    pairs = [
        (f"isic/input/ISIC_{n:07}.png", f"isic/truth/ISIC_{n:07}_segmentation.png")
        for n in range(COUNT)
    ]
    table.write_text("image,mask\n" + "\n".join(",".join(pair) for pair in pairs) + "\n")
    images, masks = discs(COUNT)
    np.savez(place / "discs.npz", images=images, masks=masks)
    first = prepare_trainings(None, settings(place, "a")).images.folded
    for source in (f"csv:{table}", f"npz:{place / 'discs.npz'}"):
        other = prepare_trainings(
            None, settings(place, "a", data__source=source, data__masks=None)
        ).images.folded
        assert other.fingerprint == first.fingerprint
    words = [
        "train", "--task", "segment", "--weights", place / "tiny.h5",
        "--data", f"folder:{place / 'isic' / 'input'}", "--masks", "../truth/*_segmentation.png",
        "--size", 16, "--dry-run", "--quiet",
    ]  # fmt: skip
    assert main([str(word) for word in words]) == 0


@pytest.mark.slow
def test_masks_and_images_may_lie_in_one_folder_and_masks_hold_classes(place, tmp_path):
    images, masks = discs(12)
    masks = masks.copy()
    masks[:, :2] = 2
    masks[0, 5] = 255
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / f"{number}_mask.png")
    prepared = prepare_trainings(
        None,
        settings(place, "b", data__source=f"folder:{tmp_path}", data__masks="*_mask.png"),
    )
    folded = prepared.images.folded
    assert len(folded.images) == 12 and folded.mask_names == ("0", "1", "2")
    assert set(np.unique(folded.masks)) == {0, 1, 2, 255}


def refused(place, source, error=DataError, **changes):
    with pytest.raises(error) as caught:
        prepare_trainings(None, settings(place, "refused", data__source=source, **changes))
    assert not (place / "refused").exists()
    return str(caught.value)


@pytest.mark.slow
def test_bad_masks_are_refused_with_a_list(place, tmp_path):
    images, masks = discs(6)
    write_pairs(tmp_path / "size", images, masks[:, :12] * 255)
    text = refused(place, f"folder:{tmp_path / 'size' / 'input'}")
    assert "6 masks have another size" in text and "16 x 16 pixels, its mask 16 x 12" in text
    colours = np.repeat(masks[..., None] * 255, 3, axis=-1)
    write_pairs(tmp_path / "colours", images, colours)
    text = refused(place, f"folder:{tmp_path / 'colours' / 'input'}")
    assert text.count("a mask has one channel") == 6
    write_pairs(tmp_path / "grey", images, masks * 90)
    text = refused(place, f"folder:{tmp_path / 'grey' / 'input'}")
    assert "not class numbers from 0 on: 0, 90" in text and text.count("ISIC_") == 6
    write_pairs(tmp_path / "empty", images, masks * 0)
    assert "all 6 masks are empty" in refused(place, f"folder:{tmp_path / 'empty' / 'input'}")
    write_pairs(tmp_path / "unknown", images, masks * 0 + 255)
    text = refused(place, f"folder:{tmp_path / 'unknown' / 'input'}")
    assert "all pixels of all 6 masks are 255, which counts nowhere" in text
    write_pairs(tmp_path / "missing", images, masks * 255)
    for number in (1, 4):
        (tmp_path / "missing" / "truth" / f"ISIC_{number:07}_segmentation.png").unlink()
    text = refused(place, f"folder:{tmp_path / 'missing' / 'input'}")
    assert "2 of 6 images have no mask" in text and text.count(": no /") == 2
    table = tmp_path / "t.csv"
    table.write_text(
        "image,mask\nsize/input/ISIC_0000000.png,\nsize/input/ISIC_0000001.png,x.png\n"
    )
    text = refused(place, f"csv:{table}", data__masks=None)
    assert "line 2: no mask" in text and "line 3: no mask x.png" in text
    np.savez(tmp_path / "n.npz", images=images)
    assert "it has no masks" in refused(place, f"npz:{tmp_path / 'n.npz'}", data__masks=None)


@pytest.mark.slow
def test_settings_that_masks_cannot_use_are_refused(place):
    source = f"folder:{place / 'isic' / 'input'}"
    assert "train.mixup" in refused(place, source, ConfigError, train__mixup=0.2)
    assert "objective.decoder" in refused(
        place, source, ConfigError, objective__kind="classify", objective__decoder="classic"
    )
    assert "laid back" in refused(place, source, ConfigError, tta__views="crops")
    assert "one * stands" in refused(place, source, ConfigError, data__masks="truth.png")
    assert "names the images of" in refused(place, source, ConfigError, data__masks="*.png")
    assert "data.metric = 'auc' is a score of classes" in refused(
        place, source, ConfigError, data__metric="auc"
    )
    assert "watched by loss or iou or dice" in refused(
        place, source, ConfigError, train__monitor="auc"
    )
    attached(disc_donor(), DecoderSpec("classic"), 1).save(place / "classic.h5")
    text = refused(
        place, source, FurtherPartError, objective__decoder="mirror",
        weights__file=place / "classic.h5",
    )  # fmt: skip
    assert "has a classic decoder" in text


def test_folds_of_masks_are_the_same_at_every_size():
    """Shares of resized masks would change places about the median, and folds of one size not fit another."""
    rng = np.random.default_rng(3)
    masks = (rng.random((40, 33, 33)) < 0.5).astype(np.uint8) * 255
    images = np.zeros((40, 33, 33, 3), np.uint8)
    table = ImageTable(images, np.full(40, UNLABELLED), (), "forty", masks=masks)
    found = [stratified(table, read_masks(table, size, False).foreground) for size in (8, 16, 33)]
    wanted = np.argsort(masks.mean(axis=(1, 2)), kind="stable")[20:]
    for one in found:
        assert sorted(np.flatnonzero(one.labels)) == sorted(wanted)


def test_few_images_are_drawn_once_each():
    assert chosen_places(np.array([0.5]), 4) == {"best": [0], "median": [], "worst": []}
    places = chosen_places(np.linspace(0, 1, 9), 4)
    assert places == {"best": [8, 7, 6], "median": [5, 4, 3], "worst": [0, 1, 2]}
