"""The images of a matrix of trainings, before any network is there."""

import numpy as np
import pytest
from PIL import Image

from efn_compose.config import load_config
from efn_compose.errors import DataError
from efn_compose.jobs.trainings.images import prepare_images
from efn_compose.jobs.trainings.options import TrainConfig


def write(folder, numbers):
    folder.mkdir(parents=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def test_a_table_without_labels_is_read_as_the_one_with_labels(tmp_path):
    write(tmp_path / "photos", range(30))
    known = "".join(f"{n},{'ab'[n % 2]}\n" for n in range(20))
    (tmp_path / "known.csv").write_text(f"isic_id,dx\n{known}")
    new = "".join(f"{n}\n" for n in range(20, 30))
    (tmp_path / "new.csv").write_text(f"isic_id\n{new}")
    words = [
        f"data.source=csv:{tmp_path / 'known.csv'}", "data.columns=image=isic_id,label=dx",
        f"data.folder={tmp_path / 'photos'}", "data.size=8", "semi.method=mean-teacher",
        f"semi.unlabelled=csv:{tmp_path / 'new.csv'}",
    ]  # fmt: skip
    found = prepare_images(load_config(None, words, TrainConfig), show_progress=False)
    assert found.folded.unlabelled.shape == (10, 8, 8, 3)


@pytest.mark.parametrize("held", ["memory", "cache"])
def test_damaged_images_without_labels_are_left_out_as_those_with_labels_are(
    tmp_path, monkeypatch, held
):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    for name, numbers in (("cat", range(10)), ("dog", range(10, 20))):
        write(tmp_path / "known" / name, numbers)
    write(tmp_path / "new", range(20, 30))
    (tmp_path / "new" / "25.png").write_bytes(b"broken")
    words = [
        f"data.source=folder:{tmp_path / 'known'}",
        "data.size=8",
        "semi.method=mean-teacher",
        f"semi.unlabelled=folder:{tmp_path / 'new'}",
        f"executor.images={held}",
    ]
    with pytest.raises(DataError, match=r"1 of 10 images cannot be decoded"):
        prepare_images(load_config(None, words, TrainConfig), show_progress=False)
    config = load_config(None, [*words, "data.unreadable_share=0.1"], TrainConfig)
    found = prepare_images(config, show_progress=False)
    assert found.folded.unlabelled.shape == (9, 8, 8, 3)
    assert ["25.png" in note for note in found.notes] == [True]
