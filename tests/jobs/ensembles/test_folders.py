"""Folders and files that are named to an ensemble and are none that it can take."""

import json

import pytest
from tiny_recipe import tiny_donor

from efn_compose.config import dump_toml
from efn_compose.errors import DataError
from efn_compose.jobs.ensembles.columns import read_members
from efn_compose.jobs.ensembles.options import EnsembleConfig
from efn_compose.jobs.ensembles.other import read_method
from efn_compose.jobs.trainings.options import TrainConfig


def test_what_is_no_run_folder_is_called_what_it_is(tmp_path):
    weights, table, absent = (tmp_path / name for name in ("tiny.h5", "table.csv", "absent"))
    tiny_donor().save(weights)
    table.write_text("image\n")
    with pytest.raises(DataError) as caught:
        read_members([str(weights), str(table), str(absent)])
    expected = "expected a run folder of `efn-compose train`;"
    told = str(caught.value)
    assert f"- {weights}: {expected} received a weight file" in told
    assert f"- {table}: {expected} received a file" in told
    assert f"- {absent}: {expected} nothing is there" in told
    assert "folds.csv" not in told


def test_what_is_no_finished_ensemble_is_called_what_it_is(tmp_path):
    texts = {"training": dump_toml(TrainConfig()), "open": dump_toml(EnsembleConfig()), "empty": ""}
    texts["damaged"] = texts["ended"] = texts["open"]
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(text)
    # A training's result is JSON, too.
    results = {"training": {"score": 1}, "damaged": {}, "ended": {"written": "climb"}}
    for name, result in results.items():
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    (tmp_path / "file").touch()
    assert read_method(tmp_path / "ended") == "climb"
    for name, reason in {
        "training": "it holds a run of `efn-compose train`",
        "open": "it has not ended",
        "empty": "it holds no run",
        "damaged": "its result.json is damaged",
        "file": "it is a file",
        "absent": "nothing is there",
    }.items():
        with pytest.raises(DataError) as caught:
            read_method(tmp_path / name)
        told = str(caught.value)
        assert told.startswith(f"{tmp_path / name}: no finished ensemble: {reason}")
        assert "expects the run folder of an `efn-compose ensemble`" in told
        assert "Errno" not in told and "'written'" not in told
