"""Pictures without matplotlib: both verbs that draw say the same, before they read anything."""

import importlib.util

import pytest
from random_donors import random_donor

from efn_compose.analysis.rank import plot_rank
from efn_compose.analysis.weights.weight_plots import plot_weights
from efn_compose.cli import main
from efn_compose.errors import DataError

SAID = 'Pictures need matplotlib: pip install "efn_compose[plots]".'


@pytest.fixture
def no_matplotlib(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "matplotlib" else find(name, *more),
    )


@pytest.mark.parametrize(
    "words", [["inspect", "none.h5"], ["rank", "none.h5", "--data", "folder:none", "--size", "32"]]
)
def test_the_absence_of_matplotlib_is_said_before_anything_is_read(
    words, no_matplotlib, tmp_path, capsys
):
    assert main([*words, "--plot", str(tmp_path / "a.png")]) == 1
    assert SAID in capsys.readouterr().err


def test_the_functions_say_the_same(no_matplotlib):
    for draw in (lambda: plot_rank([]), lambda: plot_weights(random_donor(classes=None))):
        with pytest.raises(DataError) as caught:
            draw()
        assert SAID in str(caught.value)
