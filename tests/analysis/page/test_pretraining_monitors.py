"""The table of last epochs: every monitor in words, with its unit."""

import ast
import re

import pytest
from repository import ROOT

from efn_compose.analysis.page.pretraining_monitors import (
    last_epochs,
    monitor_curves,
    monitor_line,
)

SELFSUP = ROOT / "efn_compose" / "train" / "selfsup"


def _line(training, epoch, **monitors):
    return {"training": training, "epoch": epoch, "loss": 2.5, "monitors": monitors}


def _rows(markup):
    """Return the texts of each row's cells."""
    rows = re.findall(r"<tr.*?</tr>", str(markup), re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return {row[0].replace("&#x27;", "'").replace("&#39;", "'"): row[1:] for row in cells}


def _monitors_of_the_code():
    """Return the names that methods give their monitors, read off the source."""
    found = set()
    for path in SELFSUP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in ("further_scores", "monitor"):
                keys = [key for d in ast.walk(node) if isinstance(d, ast.Dict) for key in d.keys]
                found |= {key.value for key in keys if isinstance(key, ast.Constant)}
    return found


def test_every_monitor_of_every_method_is_said_in_words():
    keys = _monitors_of_the_code()
    assert {"rank_share", "knn_gain", "critic_gap", "perplexity_share", "rotation"} <= keys
    rows = _rows(last_epochs([_line("one_seed1", 3, **dict.fromkeys(keys, 0.5))]))
    assert len(rows) == len(keys) + 3  # the titles, the epoch, the loss
    assert not {*keys, "loss"} & set(rows)
    assert not [words for words in rows if "_" in words]
    assert "_" not in monitor_line(dict.fromkeys(keys, 0.5))


@pytest.mark.parametrize(
    ("key", "value", "unit", "shown"),
    [
        ("knn", 0.7246, "%", "72.5"),
        ("knn_gain", -0.031, "points", "-3.1"),
        ("rank", 41.26, "dimensions", "41.3"),
        ("spread", 0.87, "", "0.870"),
    ],
)
def test_a_monitor_has_its_unit(key, value, unit, shown):
    with_it = _rows(last_epochs([_line("a", 1, **{key: value})]))
    (words,) = set(with_it) - set(_rows(last_epochs([_line("a", 1)])))
    assert with_it[words] == [unit, shown]


def test_pretrainings_stand_side_by_side_by_their_last_epoch():
    lines = [_line("a", 1, spread=0.1), _line("a", 2, spread=0.2), _line("b", 1, own=0.3)]
    rows = _rows(last_epochs([*lines, {"training": "a", "finished": True}]))
    assert rows["monitor"] == ["unit", "a", "b"]
    assert rows["epoch"] == ["", "2", "1"]
    assert rows["spread of the outputs"] == ["", "0.200", ""]
    assert rows["own"] == ["", "", "0.300"], "a monitor that nobody has named keeps its key"


def test_a_line_of_a_terminal_has_words_and_units():
    line = monitor_line({"knn_gain": -0.031, "rank_share": 0.9, "own": 0.3})
    assert line == "of the donor's rank 90.0 %, gain on the donor -3.1 points, own 0.300"


def test_without_an_epoch_there_is_nothing_to_show():
    assert last_epochs([{"training": "a", "error": "x"}]) is None
    assert not any(monitor_curves([{"training": "a", "error": "x"}]))
