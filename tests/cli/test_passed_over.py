"""Every verb that reads a table of images says which files beside them it passed over."""

import numpy as np
import pytest
from PIL import Image
from random_donors import TINY, random_donor

from efn_compose.cli import main
from efn_compose.jobs.study.preparation import prepare_study

#: What each verb is told; none of them trains, and most write nothing.
COMMANDS = {
    "folds": "folds folder:photos --count 2 -o folds.csv",
    "rank": "rank first.h5 --data folder:photos --size 32 --image-count 8",
    "augment": "augment folder:photos --preview sheet.png --size 16 --images 2",
    "absorb": "absorb first.h5 --images folder:photos --size 16 --image-count 8 -o absorbed.h5",
    "soup": "soup first.h5 second.h5 --data folder:photos --size 16 --dry-run -o soup.h5",
    "train": "train --weights first.h5 --data folder:photos --size 16 --folds 2 --dry-run",
    "pretrain": "pretrain --weights first.h5 --unlabelled folder:photos --size 16 --dry-run "
    "--set pretrain.batch_size=4",
    "predict": "predict first.h5 --data folder:photos --size 16 -o table.csv",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("passed_over")
    first = random_donor(TINY, seed=0, classes=2)
    first.save(folder / "first.h5")
    kernels = {name: value * 1.01 for name, value in first.tensors.items()}
    first.replace(tensors=kernels).save(folder / "second.h5")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    (folder / "photos" / "cat" / "phone.heic").write_bytes(b"no picture that is read here")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("verb", COMMANDS)
def test_files_that_are_no_images_are_counted_by_suffix(verb, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert main(COMMANDS[verb].split()) == 0
    said = capsys.readouterr()
    assert "1 .heic" in " ".join((said.out + said.err).split())


def test_a_study_says_so_once_for_all_sizes_that_it_reads(place, monkeypatch):
    monkeypatch.chdir(place)
    chosen = ["study.kind=backbones", "study.weights=first.h5", "data.source=folder:photos"]
    chosen += ["study.resolutions=16,24", "validation.folds=2"]
    warnings = prepare_study(None, chosen, show_progress=False).warnings
    assert ["1 .heic" in words for words in warnings] == [True]
