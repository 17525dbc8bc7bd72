"""The page of pretrainings, of folders that somebody damaged."""

import json

import pytest

from efn_compose.cli import main

LINE = {"training": "simclr_seed1", "epoch": 1, "loss": 1.0, "monitors": {}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.toml").write_text("[pretrain]\n")
    (tmp_path / "evaluations.jsonl").write_text(json.dumps(LINE) + "\n")
    return tmp_path


def test_a_damaged_result_is_named_and_no_verdict_is_made_up(folder, capsys):
    (folder / "result.json").write_text('{"verdicts": ')
    assert main(["report", str(folder)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"efn-compose: {folder / 'result.json'}: cannot be read")
    assert "--resume" in said
    assert not (folder / "report.html").exists()


def test_a_configuration_that_is_no_text_is_no_traceback(folder, capsys):
    (folder / "config.toml").write_bytes(b"\xff\xfe[pretrain]\n")
    main(["report", str(folder)])
    assert "Traceback" not in capsys.readouterr().err
