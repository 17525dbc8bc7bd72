"""`efn-compose policy` as a person runs it, on tiny networks."""

import dataclasses
import json
import shutil
import tomllib

import numpy as np
import pytest
import tensorflow as tf
from random_donors import TINY, random_donor
from tiny_recipe import quarters, tiny_donor
from tiny_runs import train_tiny
from verbs import call_command

from efn_compose.cli import main
from efn_compose.errors import ConfigError, EvaluationError
from efn_compose.jobs.pace import Pace
from efn_compose.jobs.policies import estimate
from efn_compose.jobs.policies.expected import expected, needed_pairs
from efn_compose.jobs.policies.job import policy
from efn_compose.jobs.policies.preparation import prepare_policy
from efn_compose.jobs.policies.scoring import Scorer
from efn_compose.jobs.policies.verdict import give_verdict
from efn_compose.jobs.policies.worker import PolicyWorker
from efn_compose.store import read_journal
from efn_compose.store.journal import Journal
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.augment.policies.written import parse_policy


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of two networks, each of which leaves half of 64 images out."""
    folder = tmp_path_factory.mktemp("policy")
    tiny_donor().save(folder / "tiny.h5")
    images, labels = quarters(64)
    np.savez(folder / "images.npz", images=images, labels=labels)
    train_tiny(folder, "run", "images.npz", validation__folds=2, augment__flip_x=0)
    return folder


def settings(place, name, **changes):
    values = {
        "policy.networks": place / "run",
        "policy.evaluations": 8,
        "policy.sub_policies": 2,
        "policy.seeds": 2,
        "policy.epochs": 1,
        "executor.kind": "serial",
        "run.path": place / name,
    } | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"{key}={value}" for key, value in values.items()]


@pytest.fixture(scope="module", autouse=True)
def traced():
    """Networks traced once for all runs here, which begin at other weights each time."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("scorer", "trainer"):
            function = getattr(PolicyWorker, name).func

            def once(self, name=name, function=function):
                key = (name, repr(self.setup.entries), repr(self.setup.train))
                if key not in made:
                    made[key] = function(self)
                return made[key]

            patch.setattr(PolicyWorker, name, property(once))
        yield


@pytest.fixture(scope="module")
def undisturbed(place):
    return policy(overrides=settings(place, "undisturbed"), quiet=True)


def lines(folder):
    """Return the journal's lines without times."""
    records = read_journal(folder / "evaluations.jsonl").records
    return [{key: value for key, value in r.items() if key != "timing"} for r in records]


@pytest.mark.slow
def test_a_search_leaves_a_policy_that_training_reads(undisturbed):
    text = undisturbed.file.read_text()
    written = tomllib.loads(text)["augment"]["auto"]
    verdict = undisturbed.verdict
    assert AugmentOptions(auto=str(undisturbed.file)).auto == verdict.policy
    assert AugmentOptions(auto=written).auto == verdict.policy in ("trivial", verdict.found)
    assert verdict.words in text and undisturbed.evaluations == 8
    result = json.loads((undisturbed.folder / "result.json").read_text())
    rows = {
        (r["seed"], r["training"].split("_")[0]): r["scores"]
        for r in lines(undisturbed.folder)
        if "training" in r
    }
    seeds = sorted({seed for seed, _ in rows})
    differences = [rows[s, "found"]["loss"] - rows[s, "trivial"]["loss"] for s in seeds]
    assert len(seeds) == 2 and result["loss"]["mean"] == pytest.approx(np.mean(differences))
    error = np.std(differences, ddof=1) / np.sqrt(2)
    assert (verdict.policy == verdict.found) == (np.mean(differences) < -error)
    least = 0.5 * result["held_out"]["under TrivialAugment"]["change"]
    assert result["held_out"]["under the found policy"]["change"] >= least
    assert not (undisturbed.folder / "unfinished").exists()


@pytest.mark.slow
def test_a_search_killed_twice_goes_on_to_the_same_bytes(undisturbed, place, monkeypatch):
    """Killed within a generation, then between the trainings of one seed."""
    whole, folder = lines(undisturbed.folder), place / "killed"
    words = ["policy", "--quiet", "--set", *settings(place, "killed")]
    original = Journal.append
    second = [number for number, r in enumerate(whole) if "training" in r][1]
    for stop_at, more in ((3, []), (second, ["--resume"])):

        def interrupt(self, record, stop_at=stop_at):
            if len(self) == stop_at:
                raise KeyboardInterrupt
            original(self, record)

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "append", interrupt)
            assert main([*words, *more]) == 130
        assert lines(folder) == whole[:stop_at]
    # The second training had ended before its line was written.
    assert [path.stem for path in (folder / "unfinished").iterdir()] == [whole[second]["training"]]
    assert main(words) == 1
    assert main([*words, "--resume"]) == 0
    for name in ("policy.toml", "result.json"):
        assert (folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()
    assert lines(folder) == whole and not (folder / "unfinished").exists()


@pytest.mark.slow
def test_the_expected_loss_is_the_mean_of_drawn_augmentations(place):
    """Not of operations that go either way, whose way is fixed per image and not drawn."""
    prepared = prepare_policy(None, settings(place, "new"), show_progress=False)
    text = "solarize 0.6 127.5, autocontrast 0.5 0; posterize 0.4 4, equalize 0.8 0"
    (network, *_), halves = prepared.networks, prepared.halves
    scorer = Scorer([network], prepared.data, {0: halves[0][0]}, 1)
    parsed = parse_policy(text)
    pairs = needed_pairs([parsed])
    table = dict(zip(pairs, scorer.pairs(0, pairs), strict=True))
    parts = expected(parsed, table.__getitem__)
    numbers = np.repeat(halves[0][0], 300)
    images = prepared.data.images[numbers]
    drawn = augment(
        images, tf.range(len(numbers)), AugmentOptions(flip_x=0, auto=text), seed=5
    ).numpy()
    _, stated = scorer._panel.ask_one(network, drawn, numbers)
    losses = -np.log(stated[0][np.arange(len(numbers)), prepared.data.labels[numbers]])
    changes = np.abs(drawn - images).mean(axis=(1, 2, 3))
    for name, values in (("loss", losses), ("change", changes)):
        wanted = np.mean([getattr(part, name) for part in parts])
        assert wanted == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(len(values)))


@pytest.mark.slow
def test_each_network_scores_images_that_it_was_not_trained_on(place):
    prepared = prepare_policy(None, settings(place, "new"), show_progress=False)
    assert {network.fold for network in prepared.networks} == {0, 1}
    for fold, (finding, judging) in prepared.halves.items():
        assert set(prepared.data.fold[[*finding, *judging]]) == {fold}
        assert not set(finding) & set(judging)
        assert len(finding) + len(judging) == (prepared.data.fold == fold).sum()
    few = prepare_policy(None, settings(place, "new", policy__images=11), show_progress=False)
    assert sum(len(finding) for finding, _ in few.halves.values()) == 11


def refused(place, **changes):
    with pytest.raises(ConfigError) as caught:
        prepare_policy(None, settings(place, "new", **changes), show_progress=False)
    assert not (place / "new").exists()
    return str(caught.value)


@pytest.mark.slow
def test_networks_that_may_know_the_images_are_named_and_refused(place, monkeypatch):
    assert "efn-compose train" in refused(place, policy__networks="")
    random_donor(TINY, 1, name="foreign", classes=4).save(place / "foreign.h5")
    said = refused(place, policy__networks=place / "foreign.h5")
    assert "foreign" in said
    images, labels = quarters(64, seed=9)
    kept = (place / "images.npz").read_bytes()
    np.savez(place / "images.npz", images=images, labels=labels)
    said = refused(place)
    (place / "images.npz").write_bytes(kept)
    assert "tiny_fold0_seed1" in said.replace("b-tiny", "tiny") and "not those of the run" in said
    shutil.copytree(place / "run", place / "later")
    config = (place / "later" / "config.toml").read_text()
    first = next((place / "run" / "trainings").glob("*fold0*")) / "last.h5"
    changed = config.replace(str(place / "tiny.h5"), str(first))
    assert changed != config
    (place / "later" / "config.toml").write_text(changed)
    said = refused(place, policy__networks=place / "later")
    assert str(first) in said and "judge" in said


@pytest.mark.slow
def test_a_reader_is_told_which_parts_of_the_run_bear_on_the_verdict(place):
    prepared = prepare_policy(None, settings(place, "new"), show_progress=False)
    config = prepared.trainings.config
    semi = dataclasses.replace(config.semi, method="mean-teacher", unlabelled="digits")
    augmented = dataclasses.replace(config.augment, auto="trivial")
    for changed, words in (
        (config, []),
        (dataclasses.replace(config, semi=semi), ["unlabelled images"]),
        (dataclasses.replace(config, augment=augmented), ["trained under a policy"]),
    ):
        trainings = dataclasses.replace(prepared.trainings, config=changed)
        notes = dataclasses.replace(prepared, trainings=trainings).notes
        assert len(notes) == len(words)
        assert all(word in note for word, note in zip(words, notes, strict=True))


@pytest.mark.slow
def test_where_no_policy_changes_images_enough_the_error_says_so(place):
    changes = {"policy__change": 1.5, "policy__evaluations": 1, "policy__sub_policies": 1}
    with pytest.raises(EvaluationError, match=r"None of 1 policies .* policy\.change"):
        policy(overrides=settings(place, "strong", **changes), quiet=True)
    assert not (place / "strong" / "policy.toml").exists()


@pytest.mark.slow
def test_a_dry_run_says_how_long_and_writes_nothing(place, monkeypatch):
    pace = Pace(train=0.5, forward=0.25, set_up=3.0)
    monkeypatch.setattr(estimate, "measure_pace", lambda spec, size: pace)
    words = ["policy", place / "run", "--dry-run", "--json", "-o", place / "dry", "--set"]
    # TensorFlow runs here already. That is no warning to people: nothing is scored.
    said = call_command(*words, "executor.workers=2", "policy.epochs=1", "policy.seeds=2")
    fields = json.loads(said.stdout)
    assert said.returncode == 0 and not (place / "dry").exists()
    assert fields["trainings"] == 4 and fields["finding_images"] == 32
    # Either fold has 32 images: 32 are trained on and looked at again, and 16 judge.
    assert fields["verdict_hours"] == pytest.approx((4 * (32 * 0.5 + 48 * 0.25) + 3) / 3600)
    assert 0 < fields["search_hours"] < 1 and fields["pairs"] == 47**2


@pytest.mark.parametrize(
    ("losses", "written"), [((0.5, 0.6), True), ((1.5, 1.7), False), ((0.5, 1.6), False)]
)
def test_what_is_not_ahead_by_a_standard_error_is_trivial_augment(losses, written):
    found = [{"loss": loss, "accuracy": 0.5} for loss in losses]
    trivial = [{"loss": 1.0, "accuracy": 0.5}, {"loss": 1.0, "accuracy": 0.5}]
    verdict = give_verdict("rotate 0.5 30; equalize 1 0", found, trivial, {})
    auto = tomllib.loads(verdict.to_toml())["augment"]["auto"]
    assert AugmentOptions(auto=auto).auto == (verdict.found if written else "trivial")
    assert verdict.words in verdict.to_toml()
    assert all("rotate 0.5 30" in text for text in (verdict.to_toml(), verdict.found))
