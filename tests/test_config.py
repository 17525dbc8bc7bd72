"""Configurations: strict reading, all problems at once, lossless writing."""

import dataclasses
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from typing import Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efn_compose.config import RunConfig, dump_toml, load_config
from efn_compose.errors import ConfigError
from efn_compose.jobs.trainings.options import TrainConfig


@dataclass(frozen=True)
class Kitchen:
    burners: int = field(default=4, metadata={"minimum": 1, "maximum": 8, "help": "flames"})
    heat: float = field(default=0.5, metadata={"minimum": 0.0})
    is_gas: bool = True
    cook: str = "Ann"
    style: Literal["thai", "roman"] = "thai"
    spices: tuple[str, ...] = ("salt",)
    weights: tuple[float, ...] = ()
    limit: int | None = None
    note: Optional[str] = None  # noqa: UP045
    timer: float | Literal["auto"] = field(default="auto", metadata={"minimum": 0.0})


@dataclass(frozen=True)
class Cellar:
    bottles: int = 10
    burners_below: bool = False


@dataclass(frozen=True)
class House:
    kitchen: Kitchen = Kitchen()
    cellar: Cellar = Cellar()


def write(tmp_path, text: str):
    path = tmp_path / "house.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(tmp_path, text: str = "", overrides=()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), overrides, House)
    return str(caught.value)


@pytest.mark.parametrize("word", ["3#5", "3 # flames", "3,", "[3"])
def test_a_number_with_a_rest_is_refused_and_not_cut(word):
    with pytest.raises(ConfigError, match=r"kitchen.burners: allowed a whole number from 1 to 8"):
        load_config(overrides=[f"kitchen.burners={word}"], schema=House)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("#a", "#a"), ("a,b", "a,b"), ('"a#b"', "a#b"), ("'3'", "3"), ("[a]", "[a]"), ("", ""),
        ("3", "3"), ("true", "true"),
    ],
)  # fmt: skip
def test_texts_need_no_quotes(word, wanted):
    assert load_config(overrides=[f"kitchen.cook={word}"], schema=House).kitchen.cook == wanted


def test_a_file_overrides_defaults_and_set_overrides_the_file(tmp_path):
    path = write(
        tmp_path,
        '[kitchen]\nburners = 2\nheat = 1\nspices = ["a", "b"]\nstyle = "roman"\nlimit = 7\n',
    )
    house = load_config(path, ["kitchen.burners=3", "cellar.bottles = 0"], House)
    expected = Kitchen(burners=3, heat=1.0, spices=("a", "b"), style="roman", limit=7)
    assert house == House(expected, Cellar(0))
    assert type(house.kitchen.heat) is float
    assert load_config(None, (), House) == House()


@pytest.mark.parametrize(
    ("override", "key", "expected"),
    [
        ("kitchen.cook=Bob", "cook", "Bob"),
        ('kitchen.cook="Bob B"', "cook", "Bob B"),
        ("kitchen.cook=", "cook", ""),
        ("kitchen.cook=1", "cook", "1"),
        ("kitchen.cook=a=b.h5", "cook", "a=b.h5"),
        ("kitchen.heat=1e-3", "heat", 1e-3),
        ("kitchen.heat=2", "heat", 2.0),
        ("kitchen.is_gas=false", "is_gas", False),
        ("kitchen.style=roman", "style", "roman"),
        ("kitchen.spices=a,b c", "spices", ("a", "b c")),
        ('kitchen.spices=["a,b"]', "spices", ("a,b",)),
        ("kitchen.spices=", "spices", ()),
        ("kitchen.spices=x=y.h5", "spices", ("x=y.h5",)),
        ("kitchen.weights=1,2.5", "weights", (1.0, 2.5)),
        ("kitchen.limit=none", "limit", None),
        ("kitchen.limit=3", "limit", 3),
        ("kitchen.timer=auto", "timer", "auto"),
        ("kitchen.timer=3", "timer", 3.0),
    ],
)
def test_overrides_are_read_in_the_type_of_the_setting(override, key, expected):
    value = getattr(load_config(None, [override], House).kitchen, key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[kitchen]\nburner = 2", "kitchen.burner is no setting. Did you mean kitchen.burners?"),
        ("[kitchen]\nbottles = 2", "kitchen.bottles is no setting. Did you mean cellar.bottles?"),
        ("[kitchn]\nburners = 2", "[kitchn] is no section. Did you mean kitchen?"),
        ("[attic]", "[attic] is no section. Allowed: kitchen, cellar."),
        ("burners = 2", "burners stands outside a section. Did you mean kitchen.burners?"),
        ("kitchen = 2", "kitchen stands outside a section. Write it as a table: [kitchen]."),
        (
            "[kitchen]\nburners = 9",
            "kitchen.burners: allowed a whole number from 1 to 8. Received: 9.",
        ),
        ("[kitchen]\nburners = 2.0", "allowed a whole number from 1 to 8. Received: 2.0."),
        ("[kitchen]\nburners = true", "Received: true."),
        ("[kitchen]\nheat = -0.1", "kitchen.heat: allowed a number, 0.0 or more. Received: -0.1."),
        ("[kitchen]\nheat = nan", "Received: nan."),
        ("[kitchen]\nheat = inf", "Received: inf."),
        ('[kitchen]\nheat = "hot"', 'Received: "hot".'),
        ("[kitchen]\nis_gas = 1", "kitchen.is_gas: allowed true or false. Received: 1."),
        ('[kitchen]\nstyle = "french"', 'kitchen.style: allowed "thai", "roman".'),
        ('[kitchen]\nspices = "salt"', "kitchen.spices: allowed a list, each item a text"),
        ('[kitchen]\nspices = ["a", 2]', 'Received: ["a", 2].'),
        ('[kitchen]\nlimit = "many"', 'kitchen.limit: allowed a whole number, or "none".'),
        (
            '[kitchen]\ntimer = "soon"',
            'kitchen.timer: allowed a number, 0.0 or more, or "auto". Received: "soon".',
        ),
        ("[kitchen]\ntimer = -1", 'allowed a number, 0.0 or more, or "auto". Received: -1.'),
        ('[kitchen]\ntimer = "none"', 'Received: "none".'),
        ("[kitchen]\ncook = 1979-05-27", "Received: datetime.date(1979, 5, 27)."),
        ("[kitchen.burners]\nx = 1", "kitchen.burners: allowed a whole number"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, said):
    assert said in problems_of(tmp_path, text)


def test_all_problems_come_at_once(tmp_path):
    message = problems_of(
        tmp_path,
        '[kitchen]\nburners = 0\nheat = "x"\nstyl = "thai"\n[cellr]\n',
        ["kitchen.cok=Bob", "nonsense", "cellar.bottles=few"],
    )
    assert "house.toml: 7 problems" in message
    for part in (
        "kitchen.burners",
        "kitchen.heat",
        "kitchen.styl is",
        "[cellr]",
        "--set kitchen.cok is no setting. Did you mean kitchen.cook?",
        "--set 'nonsense': expected section.key=value",
        'cellar.bottles: allowed a whole number. Received: "few".',
    ):
        assert part in message


def test_files_that_are_no_configuration(tmp_path):
    write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"house\.tml: no such file.*Did you mean .*house\.toml"):
        load_config(tmp_path / "house.tml", (), House)
    with pytest.raises(ConfigError, match=r"house\.toml: not TOML: .*line 2"):
        load_config(write(tmp_path, "[kitchen]\nburners = = 2"), (), House)
    marked = write(tmp_path, "")
    marked.write_bytes(b"\xef\xbb\xbf[kitchen]\n")
    assert load_config(marked, (), House) == load_config(write(tmp_path, ""), (), House)
    (tmp_path / "latin.toml").write_bytes(b'[kitchen]\ncook = "\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "latin.toml", (), House)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path, (), House)


def test_a_section_that_checks_itself_is_heard(tmp_path):
    @dataclass(frozen=True)
    class Pair:
        low: int = 0
        high: int = 1

        def __post_init__(self):
            if self.low > self.high:
                raise ConfigError("low is above high")

    @dataclass(frozen=True)
    class Outer:
        pair: Pair = Pair()

    with pytest.raises(ConfigError, match=r"\[pair\]: low is above high"):
        load_config(None, ["pair.low=5"], Outer)


# Not "~", which reading replaces.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="~"))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    kitchen=st.builds(
        Kitchen,
        burners=st.integers(1, 8),
        heat=st.floats(0, allow_infinity=False),
        is_gas=st.booleans(),
        cook=TEXTS,
        style=st.sampled_from(["thai", "roman"]),
        spices=st.lists(TEXTS, max_size=3).map(tuple),
        weights=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
        limit=st.none() | st.integers(-(2**62), 2**62),
        note=st.none() | TEXTS.filter(lambda text: text != "none"),
        timer=st.just("auto") | st.floats(0, allow_infinity=False),
    ),
    with_help=st.booleans(),
)
def test_writing_and_reading_give_an_equal_configuration(tmp_path_factory, kitchen, with_help):
    house = House(kitchen)
    text = dump_toml(house, with_help=with_help)
    tomllib.loads(text)
    path = tmp_path_factory.getbasetemp() / "round.toml"
    path.write_bytes(text.encode())
    assert load_config(path, (), House) == house
    assert dump_toml(load_config(path, (), House), with_help=with_help) == text


def test_every_section_of_a_run_round_trips_and_is_documented():
    config = RunConfig()
    before, after = ["run", "data", "donors", "search"], ["finals", "fitness", "device", "augment"]
    after += ["budget", "executor", "output"]
    fields = [item.name for item in dataclasses.fields(config)]
    assert fields == [*before, "genetic", "steady", "random", "cma", "halving", "lamarck", *after]
    names = [*before, "genetic", *after]
    parsed = tomllib.loads(dump_toml(config))
    assert list(parsed) == names
    # By default there is nothing for these to describe.
    parsed["data"] |= {"unreadable_share": 0.0, "columns": [], "folder": ""}
    parsed["donors"] |= {"ancestor": ""}
    parsed["finals"] |= {"final_rate": 0.1}
    parsed["augment"] |= {"grid_cells": 4, "hole_size": 0.25, "randaugment_strength": 0.3}
    for name in names:
        options = getattr(config, name)
        expected = {key: list(v) if isinstance(v, tuple) else v for key, v in vars(options).items()}
        assert parsed[name] == expected


def test_the_keys_that_others_rely_on_exist(tmp_path):
    config = load_config(
        None,
        [
            f"run.path={tmp_path}",
            "run.seed=7",
            "search.kind=halving",
            "halving.population=40",
            "halving.generations=3",
            "finals.finalists=2",
            "data.source=folder:images",
            "donors.files=a.h5,mine=b.pth",
        ],
    )
    assert (config.run.path, config.run.seed) == (str(tmp_path), 7)
    assert (config.kind.name, config.kind.population, config.kind.generations) == ("halving", 40, 3)
    assert config.finals.finalists == 2
    assert config.data.source == "folder:images"
    assert config.donors.files == ("a.h5", "mine=b.pth")


def test_relative_paths_stay_relative_to_the_working_directory(tmp_path):
    """The file's own folder plays no part: the text of a path arrives as it was written."""
    path = tmp_path / "deep" / "run.toml"
    path.parent.mkdir()
    path.write_text('[run]\npath = "runs/x"\n[donors]\nfiles = ["weights/a.h5"]\n')
    config = load_config(path)
    assert config.run.path == "runs/x"
    assert config.donors.files == ("weights/a.h5",)


@pytest.mark.slow
def test_a_tilde_is_the_home_folder_wherever_a_path_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of me")
    path = tmp_path / "run.toml"
    path.write_text(
        '[run]\npath = "~/runs/x"\n[data]\nsource = "csv:~/a.csv"\nfolder = "~"\n'
        '[donors]\nfiles = ["~/a.h5", "small=~/b.h5", "runs/~/c.h5", "d~.h5", "package:e"]\n'
    )
    config = load_config(path)
    assert config.run.path == "/home/of me/runs/x"
    assert (config.data.source, config.data.folder) == ("csv:/home/of me/a.csv", "/home/of me")
    assert config.donors.files == (
        "/home/of me/a.h5", "small=/home/of me/b.h5", "runs/~/c.h5", "d~.h5", "package:e"
    )  # fmt: skip
    typed = load_config(None, ["donors.files=~/a.h5,b=~/b.h5", "data.source=folder:~/photos"])
    assert typed.donors.files == ("/home/of me/a.h5", "b=/home/of me/b.h5")
    assert typed.data.source == "folder:/home/of me/photos"
    # Nobody's home is left as it is, to be named by whoever does not find it.
    assert (
        load_config(None, ["run.path=~nobody.of.that.name/x"]).run.path == "~nobody.of.that.name/x"
    )


def test_reading_a_configuration_imports_nothing_heavy():
    script = (
        "import sys; from efn_compose.config import load_config; load_config()\n"
        "print([m for m in ('tensorflow', 'keras', 'ray', 'deap', 'sklearn', 'torch') "
        "if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_an_error_of_a_section_names_it_once():
    with pytest.raises(ConfigError) as caught:
        load_config(None, ["train.sizes=16,24,32", "train.epochs=2"], TrainConfig)
    assert str(caught.value).count("[train]") == 1
    assert "3 sizes need 3 epochs or more. Received: epochs = 2" in str(caught.value)
