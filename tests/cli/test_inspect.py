"""`efn-compose inspect`: options that have no effect on the files named."""

import json

import pytest
from random_donors import TINY, random_donor
from verbs import run_verb

from efn_compose.errors import ConfigError


@pytest.fixture
def files(tmp_path):
    for seed, name in enumerate(("first.h5", "second.h5")):
        random_donor(TINY, seed=seed).save(tmp_path / name)
    return [tmp_path / "first.h5", tmp_path / "second.h5"]


@pytest.mark.parametrize("count", [1, 2])
def test_options_that_no_file_needs_are_refused_by_name(files, count):
    with pytest.raises(ConfigError) as caught:
        run_verb("inspect", *files[:count], "--arch", "b7", "--dialect", "timm", "--raw")
    assert str(caught.value).startswith("--dialect, --arch, --raw: without effect")
    assert all(str(file) in str(caught.value) for file in files[:count])


def test_without_them_the_file_is_described(files, capsys):
    assert run_verb("inspect", files[0], "--json") == 0
    assert json.loads(capsys.readouterr().out)["container"] == "efn_compose weight file"
