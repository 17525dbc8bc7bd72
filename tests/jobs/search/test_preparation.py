"""What a run is known by: a donor or data file changed under it is noticed when it goes on."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from nano_run import write_nano_experiment
from random_donors import TINY, random_donor

from efn_compose.arch import PREPROCESSINGS
from efn_compose.cli import main
from efn_compose.config import load_config
from efn_compose.data import dataset
from efn_compose.data.sources import load_table
from efn_compose.errors import (
    ConfigError,
    DataError,
    ResumeMismatchError,
)
from efn_compose.evolve.kinds.table import SearchOptions
from efn_compose.jobs.search import job, quickstart
from efn_compose.jobs.search.preparation import QUICKSTART, prepare
from efn_compose.store import RunFolder


@pytest.fixture
def begun(tmp_path):
    config = write_nano_experiment(tmp_path)
    prepared = prepare(config)
    with RunFolder.create(prepared.folder, "", prepared.identity) as folder:
        folder.journal.append({"index": 0})
    return config, prepared.folder


def _resume(config):
    prepared = prepare(config)
    with RunFolder.resume(prepared.folder, "", prepared.identity) as folder:
        return len(folder.journal)


def test_the_same_files_go_on_wherever_they_came_from(begun):
    config, _ = begun
    # Written anew, other bytes of time perhaps, the same weights.
    random_donor(TINY, 1, name="donor1", classes=None).save(config.parent / "donor1.h5")
    assert _resume(config) == 1


def test_a_donor_changed_under_the_run_is_refused_by_its_hash(begun):
    config, run = begun
    donor = random_donor(TINY, 1, name="donor1", classes=None)
    tensors = {name: np.array(values) for name, values in donor.tensors.items()}
    tensors["stem_conv/kernel"].flat[0] += 1e-6
    donor.replace(tensors=tensors).save(config.parent / "donor1.h5")
    before = (run / "evaluations.jsonl").read_bytes()
    with pytest.raises(ResumeMismatchError, match="donors"):
        _resume(config)
    assert (run / "evaluations.jsonl").read_bytes() == before


def test_images_changed_under_the_run_are_refused_too(begun):
    config, _ = begun
    with np.load(config.parent / "images.npz") as held:
        images, labels = held["images"].copy(), held["labels"]
    images[0, 0, 0, 0] ^= 1
    np.savez(config.parent / "images.npz", images=images, labels=labels)
    with pytest.raises(ResumeMismatchError, match="data"):
        _resume(config)


def test_two_files_and_images_need_no_configuration_file(tmp_path, monkeypatch):
    write_nano_experiment(tmp_path)
    for number in (0, 1):
        donor = random_donor(seed=number, name=f"donor{number}", classes=None)
        scaling = PREPROCESSINGS[("imagenet", "inception")[number]]
        conventions = replace(donor.conventions, preprocessing=scaling)
        donor.replace(conventions=conventions).save(tmp_path / f"wave, {number}.h5")
    words = ["evolve", "--donors", "first=wave, 0.h5", "wave, 1.h5", "--data", "npz:images.npz"]
    words += ["--size", "32", "-o", "runs/mine", "--hours", "2"]
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "evolve", lambda *given, **_: seen.append(given) or sys.exit())
    with pytest.raises(SystemExit):
        main(
            [
                *words,
                "--set",
                "data.train_images=10",
                "data.validation_images=10",
                "data.test_images=9",
            ]
        )
    prepared = prepare(*seen[0])
    assert [donor.name for donor in prepared.donors] == ["first", "wave, 1"]
    scalings = {donor.conventions.preprocessing for donor in prepared.donors}
    assert scalings == {PREPROCESSINGS["imagenet"]}  # folded, as the page of questions says
    assert "preprocessing" in prepared.donors[1].provenance["harmonised"]
    assert (prepared.config.budget.hours, str(prepared.folder)) == (2, "runs/mine")
    assert prepared.config.search == SearchOptions(
        granularity="block"
    )  # the defaults, not the quickstart's


def test_the_quickstart_is_there_for_a_run_without_a_configuration():
    assert load_config(QUICKSTART).donors.files, "a file that is missing or empty would be refused"


@pytest.mark.parametrize(
    ("count", "classes", "further", "expected"),
    [
        (100, 3, [], (60, 20, 20)),
        (1980, 330, [], (1188, 396, 396)),
        (1600, 3, [], (320, 400, 800)),
        (100, 3, ["data.test_images=30"], None),
    ],
)
def test_the_quickstart_takes_what_other_images_there_are(
    tmp_path, count, classes, further, expected
):
    np.savez(
        tmp_path / "own.npz",
        images=np.zeros((count, 8, 8, 3), np.uint8),
        labels=np.arange(count) % classes,
    )
    for number in (0, 1):
        random_donor(TINY, number, classes=None).save(tmp_path / f"{number}.h5")
    overrides = [f"data.source=npz:{tmp_path}/own.npz", "data.size=8", "donors.variant=", *further]
    overrides.append(f'donors.files=["{tmp_path}/0.h5", "{tmp_path}/1.h5"]')
    if expected is None:
        with pytest.raises(DataError, match="cannot be split as asked"):
            prepare(QUICKSTART, overrides)
        return
    data = prepare(QUICKSTART, overrides).data
    found = tuple(len(getattr(data, f"{part}_labels")) for part in ("train", "validation", "test"))
    assert found == expected
    assert len(data.notes) == (expected[0] != 320)


def test_the_quickstart_lists_other_images_once(tmp_path, monkeypatch):
    images = np.zeros((60, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(60) % 3)
    for number in (0, 1):
        random_donor(TINY, number, classes=None).save(tmp_path / f"{number}.h5")
    listed = []

    def counted(source, *others, **more):
        listed.append(source)
        return load_table(source, *others, **more)

    for module in (quickstart, dataset):
        monkeypatch.setattr(module, "load_table", counted)
    donors = f'donors.files=["{tmp_path}/0.h5", "{tmp_path}/1.h5"]'
    source = f"data.source=npz:{tmp_path}/own.npz"
    prepare(QUICKSTART, [source, "data.size=8", "donors.variant=", donors])
    assert listed == [f"npz:{tmp_path}/own.npz"]


@pytest.mark.parametrize("kind", ["genetic", "halving", "lamarck"])
def test_a_limit_that_no_run_can_keep_is_refused_before_anything_is_made(tmp_path, kind):
    config = write_nano_experiment(tmp_path, kind=kind, population=2)
    # One generation, of two donors and a sibling of each, is the least.
    single = load_config(config, [f"{kind}.generations=0"])
    least = single.kind.plan(single.finals, 4).evaluations
    with pytest.raises(ConfigError, match=rf"budget.evaluations = {least - 1} .* {least} or more"):
        prepare(config, [f"budget.evaluations={least - 1}"])
    assert prepare(config, [f"budget.evaluations={least}"]).config.budget.evaluations == least
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kind", "shape", "said"),
    [
        ("halving", {"population": 256}, ["trainings of a generation: 256", "halving.population = 256"]),
        ("halving", {"lines": 18, "population": 18, "generations": 14}, ["are left: 274"]),
        ("halving", {"lines": 64, "branches": 4, "population": 64}, ["of a generation: 256"]),
        ("lamarck", {"population": 255, "generations": 2}, ["of a generation: 256", "states: 263"]),
        ("genetic", {}, ["donors, siblings included: 258", "donors.siblings = 128"]),
    ],
)  # fmt: skip
def test_more_networks_than_genomes_can_number_are_refused_before_anything_is_paid(
    tmp_path, kind, shape, said
):
    config = write_nano_experiment(tmp_path, kind=kind, **shape)
    siblings = 128 if kind == "genetic" else 1
    with pytest.raises(ConfigError, match="can number 255 networks") as caught:
        prepare(config, [f"donors.siblings={siblings}"])
    for words in said:
        assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_as_many_networks_as_genomes_can_number_are_taken(tmp_path):
    config = write_nano_experiment(tmp_path, kind="halving", population=255)
    assert prepare(config).config.kind.population == 255


@pytest.mark.parametrize("spaces", ["", " "])
def test_donors_alone_are_a_run_of_their_own_however_they_are_written(tmp_path, spaces):
    write_nano_experiment(tmp_path)
    files = f'["{tmp_path}/donor1.h5", "{tmp_path}/donor2.h5"]'
    settings = {"donors.files": files, "data.source": f"npz:{tmp_path}/images.npz", "data.size": 32}
    found = prepare(None, [f"{key}{spaces}={spaces}{value}" for key, value in settings.items()])
    assert [donor.name for donor in found.donors] == ["donor1", "donor2"]
    # The quickstart has settings of its own for all three.
    assert found.config.finals == load_config(None).finals
    assert found.config.donors.variant == "" and found.config.genetic == load_config(None).genetic
