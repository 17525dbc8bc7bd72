"""Pages of folders that are named "." or "..": the same as under the folder's own name."""

import json
from pathlib import Path

import pytest
from made_up_study import write_study
from page_checks import Page
from report_runs import MadeUpRun

from efn_compose.analysis.card.card import render_card
from efn_compose.analysis.page.commands import reproduce_command, resume_command
from efn_compose.analysis.page.legs_page import write_legs_page
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.cli import main

MONITORS = {"training": "simclr_seed1", "epoch": 1, "loss": 1.0, "monitors": {}}
CHAPTER = {"verb": "nest", "nest.file": "a.h5", "nest.into": "b1"}


def _search(folder):
    MadeUpRun(generations=1, population=6).search().finals().write(folder)


def _study(folder):
    write_study(folder)


def _pretraining(folder):
    folder.mkdir()
    (folder / "config.toml").write_text("[pretrain]\n")
    (folder / "evaluations.jsonl").write_text(json.dumps(MONITORS) + "\n")


def _story(folder):
    folder.mkdir()
    lines = "\n".join(f'{key} = "{value}"' for key, value in CHAPTER.items())
    (folder / "config.toml").write_text(f"[larger]\n{lines}\n")
    (folder / "result.json").write_text(json.dumps({"words": "Nothing has ended.", "worth": []}))
    (folder / "evaluations.jsonl").write_text("")


@pytest.fixture(params=[_search, _study, _pretraining, _story])
def folder(request, tmp_path):
    path = tmp_path / "a run of mine"
    request.param(path)
    return path


@pytest.mark.parametrize("name", [".", "..", "inside/.."])
def test_a_page_is_the_same_by_whatever_name_its_folder_is_given(folder, name, monkeypatch):
    main(["report", str(folder)])
    expected = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "report.html").unlink()
    (folder / "inside").mkdir()
    monkeypatch.chdir(folder / "inside" if name == ".." else folder)
    main(["report", name])
    assert (folder / "report.html").read_text(encoding="utf-8") == expected
    assert "a run of mine" in Page(expected).check().text


def test_card_and_commands_of_a_folder_without_a_name(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    _search(folder)
    expected = render_card(read_run(folder))
    monkeypatch.chdir(folder)
    run = read_run(".")
    assert render_card(run) == expected
    assert f"run.path={tmp_path}/mine-again" in reproduce_command(run)
    assert f"run.path={tmp_path}/mine" in resume_command(run)


def test_a_relative_name_stays_as_somebody_wrote_it(tmp_path, monkeypatch):
    _search(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert read_run("mine").path == Path("mine")


def test_legs_of_a_folder_without_a_name(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    page = Page(write_legs_page(Path(".")).read_text(encoding="utf-8"))
    assert "Legs of mine" in page.text
