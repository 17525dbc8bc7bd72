"""Searches and pretrainings handed on: the same end as undisturbed, in another folder."""

import dataclasses
import itertools
import sys

import pytest
from nano_run import write_nano_experiment
from PIL import Image
from tiny_recipe import quarters, tiny_donor
from traced_trainers import share_pretrainers, share_search_workers, spoil

from efn_compose.config import load_config
from efn_compose.errors import ConfigError, DataError
from efn_compose.jobs.relay.deadline import TimeIsUp
from efn_compose.jobs.relay.job import accept, run_leg
from efn_compose.jobs.relay.relayed import relayed_job
from efn_compose.store import Journal, read_journal
from efn_compose.train.recipe.state import write_state


def lines(folder):
    """The journal without what may differ between equal runs."""
    return [
        {key: value for key, value in record.items() if key != "timing"}
        for record in read_journal(folder / "evaluations.jsonl").records
    ]


@pytest.mark.slow
def test_a_search_handed_on_ends_as_one_does_that_was_not(tmp_path, monkeypatch):
    changes = {"generations": 1, "noise_repeats": 0}
    config = str(write_nano_experiment(tmp_path / "given", **changes))
    counter, append = itertools.count(1), Journal.append

    def stop(self, record):
        if next(counter) == 5:
            raise TimeIsUp
        append(self, record)

    parcel = tmp_path / "out.efn"
    with monkeypatch.context() as patch:
        made = share_search_workers(patch)
        whole = run_leg("evolve", config, [f"run.path={tmp_path / 'whole'}"], quiet=True)
        patch.setattr(Journal, "append", stop)
        words = [f"run.path={tmp_path / 'first'}"]
        first = run_leg("evolve", config, words, parcel=parcel, quiet=True)
    assert first.result is None and first.legs[0].ended["journal"] == 4
    for name in ("donor1.h5", "donor2.h5"):
        (tmp_path / "given" / name).unlink()
    with monkeypatch.context() as patch:
        share_search_workers(patch, made)
        spoil(made.values())
        second = accept(parcel, tmp_path / "second", quiet=True)
    assert second.result.verdict == whole.result.verdict
    assert str(second.result).splitlines()[0] == second.result.verdict
    assert str(second.folder / "efn_magic_weights.h5") in str(second.result)
    assert lines(second.folder) == lines(whole.folder)
    ours, theirs = (leg.folder / "efn_magic_weights.h5" for leg in (second, whole))
    assert ours.read_bytes() == theirs.read_bytes()
    assert "Legs" in (second.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", ["train", "pretrain", "evolve"])
def test_every_place_of_images_may_be_another_one_on_the_next_machine(verb):
    job = relayed_job(verb)
    places = {
        f"{section.name}.{setting.name}"
        for section in dataclasses.fields(job.stored.schema)
        for setting in dataclasses.fields(section.default_factory)
        if setting.name in ("source", "folder", "masks", "unlabelled")
    }
    assert places == set(job.sources)


@pytest.mark.slow
def test_a_pretraining_handed_on_ends_as_one_does_that_was_not(tmp_path, monkeypatch):
    tiny_donor().save(tmp_path / "tiny.h5")
    images, _ = quarters(64, seed=3)
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number:02}.png")
    table = ["image", *(f"{number:02}.png" for number in range(64))]
    (tmp_path / "images.csv").write_text("\n".join(table))
    words = [
        f"weights.file={tmp_path / 'tiny.h5'}", "unlabelled.size=16", "pretrain.epochs=3",
        f"unlabelled.source=csv:{tmp_path / 'images.csv'}", "pretrain.batch_size=16",
        f"unlabelled.folder={tmp_path / 'photos'}", "pretrain.width=32", "executor.kind=serial",
    ]  # fmt: skip
    counter = itertools.count(1)

    def stop(*arguments):
        write_state(*arguments)
        if next(counter) == 2:
            raise TimeIsUp

    parcel, traced = tmp_path / "out.efn", {}
    with monkeypatch.context() as patch:
        share_pretrainers(patch, traced)
        whole = run_leg("pretrain", None, [*words, f"run.path={tmp_path / 'whole'}"], quiet=True)
        patch.setattr(sys.modules["efn_compose.train.recipe.fit"], "write_state", stop)
        path = [f"run.path={tmp_path / 'first'}"]
        first = run_leg("pretrain", None, [*words, *path], parcel=parcel, quiet=True)
    assert first.result is None
    # Weights are looked at before images are decoded.
    wrong = ["weights.file=none.h5", "unlabelled.source=folder:none", f"run.path={tmp_path / 'x'}"]
    with pytest.raises(ConfigError, match=r"none\.h5"):
        run_leg("pretrain", None, wrong, parcel=tmp_path / "x.efn", quiet=True)
    (tmp_path / "photos").rename(tmp_path / "moved")
    (tmp_path / "few.csv").write_text("\n".join(table[:6]))
    moved = f"unlabelled.folder={tmp_path / 'moved'}"
    ask = r"--set unlabelled\.source=SOURCE unlabelled\.folder=SOURCE\."
    with pytest.raises(DataError, match=rf"59 missing here(.|\n)*{ask}"):
        accept(parcel, tmp_path / "x", [moved, f"unlabelled.source=csv:{tmp_path / 'few.csv'}"])
    share_pretrainers(monkeypatch, traced)
    spoil(traced.values())
    second = accept(parcel, tmp_path / "second", [moved], quiet=True)
    ours, theirs = (leg.result.weights for leg in (second, whole))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_search_without_file_and_donors_is_the_quickstart_here_too():
    """Its settings have an effect, as they have without a parcel."""
    words = ["halving.generations=2", "run.path=q", "donors.files="]
    job = relayed_job("evolve")
    for overrides in (words[:2], words):
        file = job.file(None, overrides)
        assert (file is not None) == (len(overrides) == 2)
    assert load_config(job.file(None, words[:2]), words[:2]).halving.generations == 2
    assert job.file("my.toml", words[:2]) == "my.toml"
    assert relayed_job("train").file(None, []) is None


def test_other_verbs_are_refused():
    with pytest.raises(ConfigError, match="train, pretrain, evolve"):
        relayed_job("soup")
