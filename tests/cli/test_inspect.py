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


def test_people_are_shown_a_few_of_many_networks_and_machines_all(tmp_path, capsys):
    donors = [{"name": f"state{number}"} for number in range(33)]
    donor = random_donor(TINY, seed=0).replace(provenance={"donors": donors})
    donor.save(tmp_path / "magic.h5")
    assert run_verb("inspect", tmp_path / "magic.h5") == 0
    shown = capsys.readouterr().out
    assert "state3" in shown and "state4" not in shown and "… 29 more; --json lists all" in shown
    assert run_verb("inspect", tmp_path / "magic.h5", "--json") == 0
    assert "state32" in capsys.readouterr().out
