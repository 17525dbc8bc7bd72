"""Names of the version before: understood, said once each, refused where they cannot be."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import pytest

from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.settings.declare import When, section, setting
from efn_compose.settings.renamed import Merged, Moved, OldSettingWarning, Removed, Row, translate


@dataclass(frozen=True)
class Trip:
    by: str = setting("car", "how", choices=("car", "train", "foot"))


@dataclass(frozen=True)
class Car:
    speed: int = 80
    seats: int = 4


@dataclass(frozen=True)
class Train:
    speed: int = 80


@dataclass(frozen=True)
class Food:
    meals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Journey:
    trip: Trip = section(Trip)
    car: Car = section(Car, read_when=When("trip.by", ("car",)))
    train: Train = section(Train, read_when=When("trip.by", ("train",)))
    food: Food = section(Food)

    renamed: ClassVar[tuple[Row, ...]] = (
        Merged(
            {"trip.wheels": True, "trip.rails": False},
            "trip.by",
            {(True, False): "car", (True, True): "train", (False, False): "foot"},
            "Nothing rolls on rails without wheels.",
        ),
        Moved("trip.speed", "{trip.by}.speed", 80),
        Moved("trip.seats", "{trip.by}.seats", 4),
        Moved("snacks.list", "food.meals", ()),
        Moved("trip.slow", "car.speed", 80, lambda v: "too slow now." if v < 10 else ""),
        Removed("trip.horses", 0, "Horses are retired: set trip.by."),
    )


def _load(text="", overrides=(), tmp=None):
    path = None
    if tmp is not None:
        path = tmp / "journey.toml"
        path.write_text(text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = load_config(path, overrides, Journey)
    assert all(w.category is OldSettingWarning for w in caught)
    return found, [str(w.message) for w in caught]


def _refused(text, overrides, tmp):
    path = tmp / "journey.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_config(path, overrides, Journey)
    return str(caught.value)


def test_an_old_file_means_what_it_meant_and_each_key_is_said_once(tmp_path):
    text = '[trip]\nwheels = true\nrails = true\nspeed = 200\n[snacks]\nlist = ["nuts"]\n'
    found, notes = _load(text, tmp=tmp_path)
    assert found == Journey(Trip("train"), train=Train(200), food=Food(("nuts",)))
    assert len(notes) == 4
    for old, new in [
        ("trip.wheels", "trip.by"),
        ("trip.speed", "train.speed"),
        ("snacks.list", "food.meals"),
    ]:
        assert any(note.startswith(old) and new in note for note in notes)


def test_the_command_line_takes_old_names_in_their_old_type(tmp_path):
    found, notes = _load(
        "[trip]\nspeed = 90\n", ["trip.speed=120", "snacks.list=nuts,figs"], tmp_path
    )
    assert found == Journey(car=Car(120), food=Food(("nuts", "figs")))
    assert sum("trip.speed" in note for note in notes) == 2  # one in the file, one typed


def test_an_old_name_on_the_command_line_is_stronger_than_the_new_one_in_the_file(tmp_path):
    assert _load("[car]\nspeed = 90\n", ["trip.speed=120"], tmp_path)[0].car.speed == 120
    assert _load("[trip]\nspeed = 90\n", ["car.speed=120"], tmp_path)[0].car.speed == 120


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("[trip]\nspeed = 90\n[car]\nspeed = 91\n", (), "trip.speed and car.speed say the same"),
        ('[trip]\nby = "car"\nrails = true\n', (), "trip.rails and trip.by say the same"),
        ('[trip]\nby = "car"\n', ["trip.wheels=false"], "trip.wheels and trip.by say the same"),
        ("[trip]\nwheels = false\nrails = true\n", (), "Nothing rolls on rails without wheels."),
        ("[trip]\nhorses = 2\n", (), "trip.horses = 2 cannot be had any more. Horses are retired"),
        ("", ["trip.horses=2"], "trip.horses = 2 cannot be had any more"),
        ("[trip]\nslow = 5\n", (), "trip.slow = 5: too slow now."),
        ('[trip]\nspeed = "high"\n', (), 'car.speed: allowed a whole number. Received: "high".'),
        (
            '[trip]\nby = "train"\nseats = 6\n',
            (),
            'trip.seats = 6 has no effect with trip.by = "train": it is read by "car" (as car.seats) only.',
        ),
    ],
)
def test_what_cannot_be_taken_over_is_refused(tmp_path, text, overrides, said):
    assert said in _refused(text, overrides, tmp_path)


def test_what_asks_for_nothing_is_left_out_with_a_word(tmp_path):
    found, notes = _load('[trip]\nby = "train"\nseats = 4\nhorses = 0\n', tmp=tmp_path)
    assert found == Journey(Trip("train"))
    assert len(notes) == 2


def test_a_stored_run_lists_settings_that_nobody_asked_for():
    tables = {"trip": {"wheels": True, "rails": True, "seats": 6, "speed": 200, "horses": 0}}
    found = translate((tables,), Journey.renamed, Journey, is_stored=True)
    assert found.tables == {"trip": {"by": "train"}, "train": {"speed": 200}}
    assert not found.problems
    assert tables["trip"]["seats"] == 6  # the tables given stay as they are


def test_new_names_pass_without_a_word(tmp_path):
    found, notes = _load('[trip]\nby = "train"\n[train]\nspeed = 100\n', tmp=tmp_path)
    assert (found.train.speed, notes) == (100, [])
