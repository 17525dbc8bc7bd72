"""The contact sheet shows what training sees: its pixels are found in the picture."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from efn_compose.cli import main
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.augment.contact_sheet import draw_sheet, sheet_columns
from efn_compose.train.augment.parts import PARTS, parts_of

OPTIONS = AugmentOptions(flip_x=0.25, rotation=25, grid=0.5, holes=1)


def pictures(count: int = 3, side: int = 100) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def test_every_setting_is_a_part_or_describes_one():
    described = {name for further, _ in PARTS.values() for name in further}
    names = {field.name for field in dataclasses.fields(AugmentOptions)}
    assert set(PARTS) | described == names
    assert [part.name for part in parts_of(AugmentOptions(flip_x=0.0))] == []


def test_columns_are_what_training_gets_and_parts_stand_alone():
    images, numbers = pictures(), np.array([5, 9, 12])
    columns = sheet_columns(images, numbers, OPTIONS, draws=2, seed=4, mixup=0.3, augmix=True)
    captions = [column.caption for column in columns]
    assert captions[0] == "as it is" and captions[-2:] == ["epoch 0", "epoch 1"]
    assert captions[1:3] == ["flip_x = 0.25", "rotation = 25"]
    # Shown always, whatever its probability.
    np.testing.assert_array_equal(columns[1].images, images[:, :, ::-1])
    for epoch in range(2):
        wanted = augment(images, numbers, OPTIONS, seed=4, epoch=epoch).numpy()
        np.testing.assert_array_equal(columns[-2 + epoch].images, np.rint(wanted))
    mixed = next(column for column in columns if column.caption.startswith("mixup"))
    for row, note in enumerate(mixed.notes):
        own, above = (int(share.rstrip("%")) / 100 for share in note.split(" / "))
        blend = own * images[row].astype(float) + above * images[row - 1]
        np.testing.assert_allclose(mixed.images[row], blend, atol=2)


def test_each_tile_is_in_the_picture_pixel_by_pixel():
    columns = sheet_columns(pictures(), np.arange(3), OPTIONS, draws=1)
    sheet = np.asarray(
        draw_sheet(columns, ["мелaнома\n画像", "b", "c" * 400], "title", ["l" * 900])
    )
    places = []
    for column in columns:
        for image in column.images:
            # The tile's first pixel, then all of it.
            tops, lefts = np.nonzero((sheet == image[0, 0]).all(axis=2))
            found = [
                (top, left)
                for top, left in zip(tops.tolist(), lefts.tolist(), strict=True)
                if np.array_equal(sheet[top : top + 100, left : left + 100], image)
            ]
            assert len(found) == 1
            places += found
    # Rows and columns of a table, none over another.
    assert len({top for top, _ in places}) == 3
    assert len({left for _, left in places}) == len(columns)


def test_small_images_are_enlarged_without_blur():
    images = pictures(1, 16)
    sheet = np.asarray(draw_sheet(sheet_columns(images, np.arange(1), OPTIONS), ["a"], "t"))
    large = images[0].repeat(6, 0).repeat(6, 1)
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (96, 96, 3)).reshape(
        sheet.shape[0] - 95, sheet.shape[1] - 95, 96, 96, 3
    )
    assert any((windows[top, 134] == large).all() for top in range(len(windows)))


def test_the_command_draws_one_image_of_each_class_first(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.toml").write_text("[train]\nepochs = 3\n[augment]\nrotation = 12.5\n")
    command = ["augment", "digits", "--preview", "sheet 画像.png", "--images", "10", "--size", "8"]
    more = ["--config", "train.toml", "--set", "hue=0.1", "augment.flip_x=0", "--json"]
    assert main([*command, *more]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["parts"] == {"rotation": "rotation = 12.5", "hue": "hue = 0.1"}
    from efn_compose.data import load_table

    assert load_table("digits").labels[said["images"]].tolist() == list(range(10))
    with Image.open("sheet 画像.png") as sheet:
        assert sheet.format == "PNG" and sheet.size[0] > 700
    before = (tmp_path / "sheet 画像.png").read_bytes()
    assert main([*command, *more]) == 0
    assert (tmp_path / "sheet 画像.png").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--images", "0"], "--images must be 1 to 64, not 0"),
        (["--set", "rotatoin=3"], "augment.rotatoin is no setting. Did you mean augment.rotation"),
        (["--set", "grid=1", "grid_cells=5", "--size", "32"], "grid_cells = 5 must divide"),
        (["--preview", "a.gif"], "must end in .png or .jpg"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_nothing_is_written(
    more, words, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["augment", "digits", "--preview", "a.png", *more]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
