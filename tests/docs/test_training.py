"""The commands, the configuration and the code of docs/training.md, on a tiny network."""

import re
import shlex

import numpy as np
import pytest
from PIL import Image
from repository import ROOT
from tiny_recipe import quarters, tiny_donor
from traced_trainers import share_trainers

from efn_compose.cli import main
from efn_compose.config import load_config
from efn_compose.donors import load_donor
from efn_compose.jobs.trainings.options import TrainConfig

PAGE = ROOT / "docs" / "training.md"
SECTIONS = PAGE.read_text(encoding="utf-8").partition("## Seed a model")[0]
#: What makes a command short enough for a test.
STAND_INS = {"128": "16", "--folds 5": "--folds 2", "--seeds 3": "--seeds 1"}
STAND_INS |= {"--variants b0,b2": "--workers 1"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    tiny_donor().save(folder / "efn_magic_weights.h5")
    for number, (pixels, label) in enumerate(zip(*quarters(40), strict=True)):
        (folder / "photos" / f"class {label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / f"class {label}" / f"{number}.png")
    return folder


@pytest.mark.slow
def test_commands_leave_the_files_that_the_page_lists(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    share_trainers(monkeypatch, {})
    for command in blocks("sh"):
        for words, short in STAND_INS.items():
            command = command.replace(words, short)
        assert main([*shlex.split(command)[1:], "--set", "train.epochs=2"]) == 0
    files = SECTIONS.partition("## Many trainings")[0]
    names = re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?) \|", files, re.M)))
    assert "history.jsonl" in names and len(names) == 14
    names.remove(".csv")
    for name in names:
        assert (place / "runs" / "first" / name).stat().st_size > 0, name
    assert load_donor(place / "runs/first/last.h5").classes == 4
    assert len(list((place / "runs/many/trainings").iterdir())) == 2


def test_configuration_is_one(tmp_path):
    (text,) = blocks("toml")
    (tmp_path / "lesions.toml").write_text(text, encoding="utf-8")
    config = load_config(tmp_path / "lesions.toml", schema=TrainConfig)
    assert config.train.sizes == (96, 128, 160) and config.validation.folds == 5
    assert config != TrainConfig()


@pytest.mark.slow
def test_code_trains_and_saves(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    assert np.isfinite(names["logits"]).all()
    assert load_donor("digits.h5").classes == 10
    assert len(capsys.readouterr().out.splitlines()) == 2
