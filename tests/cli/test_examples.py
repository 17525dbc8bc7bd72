"""The example in every command's help is run as it stands, on files small enough for a test.

A network of the example has a small stand-in under the same file name; what would take minutes
or never end is replaced word by word, and the replacements are the table below.
"""

import importlib
import shlex
from http.server import ThreadingHTTPServer
from pathlib import Path

import fine_tunings
import numpy as np
import pytest
from nano_run import write_nano_experiment
from PIL import Image
from random_donors import LITE, random_donor
from report_runs import MadeUpRun
from tiny_recipe import tiny_donor
from traced_trainers import share_trainers

from efn_compose import attach
from efn_compose.arch import arch_spec
from efn_compose.cli import main
from efn_compose.cli.shared.command import VERBS
from efn_compose.donors import load_donor
from efn_compose.jobs.relay.job import run_leg
from efn_compose.jobs.trainings.job import train

SMALL, WIDE, TWICE = "b-w0.5-d0.3", "b-w0.7-d0.3", "b-w1.4-d0.3"
#: By verb: words of the example and what stands for them here.
STAND_INS = {
    "evolve": {"genetic.population=40": "genetic.population=5"},
    "nest": {"b5": WIDE},
    "direct-sum": {"b7": TWICE},
    "shrink": {"b0": SMALL},
    "align": {"128": "32"},
    "absorb": {"128": "32"},
    "soup": {"128": "32"},
    "train": {"128": "16", "5": "1", "3": "1"},
    "study": {"scaling": "grid", "64": "16", "3": "1"},
    "pretrain": {"folder:photos": "folder:images", "64": "16", "10": "1"},
    "rank": {"fashion_mnist": "digits", "64": "32"},
    "policy": {"2000": "2", "5": "2"},
}
#: By verb: the files that its example must leave, none for those that only say something.
LEAVES = {
    "convert": ["lite1.h5"],
    "export": ["lite1.safetensors"],
    "inspect": ["weights.png"],
    "nest": ["b5.h5"],
    "direct-sum": ["b7.h5"],
    "join": ["joint.keras"],
    "shrink": ["b0.h5"],
    "align": ["aligned/mine.h5", "aligned/theirs.h5"],
    "absorb": ["b0_absorbed.h5"],
    "rank": ["rank.png"],
    "soup": ["soup.h5"],
    "attach": ["unet.h5"],
    "detach": ["encoder.h5"],
    "augment": ["sheet.png"],
    "policy": ["runs/policy/policy.toml"],
    "folds": ["folds.csv"],
    "predict": ["predictions.csv"],
    "ensemble": ["runs/submission/submission.csv", "runs/submission/report.html"],
    "pipeline": [f"runs/story/larger/{WIDE}.h5", "runs/story/report.html"],
    "train": ["runs/photos/last.h5", "runs/photos/leaderboard.md", "runs/photos/curve.png"],
    "relay": ["runs/mine/last.h5", "runs/mine/legs.html"],
    "study": ["runs/scaling/table.csv", "runs/scaling/report.html"],
    "pretrain": ["runs/pretrained/last.h5", "runs/pretrained/report.html"],
    "evolve": ["run/efn_magic_weights.h5", "run/report.html", "run/card.md"],
}


@pytest.fixture(scope="module", autouse=True)
def traced():
    """One trainer for the examples that train one network by one recipe."""
    with pytest.MonkeyPatch.context() as patch:
        share_trainers(patch, {})
        yield


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label in ("cat", "dog", "owl"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / label).mkdir()
    rng = np.random.default_rng(0)
    for number in range(120):
        label = ("cat", "dog", "owl")[number % 3]
        pixels = rng.integers(0, 90, (32, 32, 3)) + 60 * (number % 3)
        image = Image.fromarray(pixels.astype(np.uint8))
        image.save(tmp_path / "images" / label / f"{number}.png")
        if number < 30:
            image.save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path


def _prepare(verb: str, place: Path) -> None:
    """Make the files that a verb's example names."""
    if verb == "evolve":
        config = write_nano_experiment(place, generations=0, noise_repeats=0, finalists=1)
        text = config.read_text().replace("siblings = 1", "siblings = 0")
        (place / "my.toml").write_text(text.replace('align = "auto"', 'align = "never"'))
    if verb == "report":
        MadeUpRun(generations=2).search().finals().write(place / "runs" / "quickstart")
    if verb == "join":
        for name in ("b0", "b2"):
            tiny_donor().save(place / f"{name}.h5")
    if verb == "rank":
        for name, seed in (("lite0", 1), ("lite1", 2)):
            random_donor(LITE, seed, name=name, classes=None).save(place / f"{name}.h5")
    if verb in ("nest", "export", "inspect"):
        random_donor(SMALL, 1, classes=5).save(place / "efn_magic_weights.h5")
    if verb in ("train", "predict", "ensemble", "policy"):
        tiny_donor().save(place / "efn_magic_weights.h5")
    if verb in ("ensemble", "policy"):
        names = ("weights.file=efn_magic_weights.h5", "data.source=folder:photos", "data.size=16")
        more = (
            "train.epochs=1",
            "run.path=runs/many",
            "validation.folds=2",
            "executor.kind=serial",
        )
        train(overrides=[*names, *more], quiet=True)
    if verb == "pipeline":
        random_donor(SMALL, 1, classes=5).save(place / "b0.h5")
        stage = f'verb = "nest"\nnest.file = "b0.h5"\nnest.into = "{WIDE}"\n'
        (place / "story.toml").write_text(f"[larger]\n{stage}")
    if verb == "predict":
        names = ("weights.file=efn_magic_weights.h5", "data.source=folder:photos", "data.size=16")
        train(overrides=[*names, "train.epochs=1", "run.path=runs/photos"], quiet=True)
    if verb == "relay":
        tiny_donor().save(place / "tiny.h5")
        words = ("weights.file=tiny.h5", "data.source=folder:photos", "data.size=16")
        words += ("train.epochs=1", "run.path=runs/theirs")
        run_leg("train", None, words, parcel="out.efn", quiet=True)
    if verb in ("study", "pretrain"):
        tiny_donor().save(place / "lite0.h5")
    if verb == "folds":
        # Distinct images: folds refuses none, but says which are the same picture.
        files = sorted((place / "images").rglob("*.png"))
        rows = [f"{file.relative_to(place)},{file.parent.name}" for file in files]
        (place / "lesions.csv").write_text("\n".join(["image,label", *rows]) + "\n")
        random_donor(SMALL, 1, classes=5).save(place / "b0.h5")
    if verb == "inspect":
        random_donor(SMALL, 2, classes=5).save(place / "b0.h5")
    if verb == "direct-sum":
        for name, seed in (("first_b0", 1), ("second_b0", 2)):
            random_donor(SMALL, seed, classes=5).save(place / f"{name}.h5")
    if verb == "shrink":
        random_donor(WIDE, 1, name="large", classes=None).save(place / "b5.h5")
    if verb == "absorb":
        # Named as in the example; ours by content.
        random_donor(SMALL, 1, classes=5).save(place / "b0.pth")
    if verb in ("attach", "detach"):
        random_donor(SMALL, 1, classes=5).save(place / "b0.h5")
    if verb == "detach":
        attach(place / "b0.h5", place / "unet.h5")
    if verb == "soup":
        for name, donor in zip("abc", fine_tunings.DONORS, strict=True):
            donor.save(place / f"{name}.h5")
    if verb == "align":
        random_donor(SMALL, 1, classes=5).save(place / "mine.h5")
        # Named as in the example; ours by content.
        random_donor(SMALL, 2, classes=5).save(place / "theirs.pth")


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "doctor"])
def test_the_example_of_a_verb_runs(verb, place, monkeypatch, capsys):
    _prepare(verb, place)
    # A server would answer for ever; it is up and has drawn its page when this is called.
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", _interrupt)
    words = shlex.split(importlib.import_module(VERBS[verb].module).EXAMPLE)
    assert words[:2] == ["efn-compose", verb]
    replaced = STAND_INS.get(verb, {})
    assert set(replaced) <= set(words), "the example has changed: change its stand-ins"
    # Workers of Ray are proved elsewhere; to start them takes longer than to train here.
    more = (
        ["--set", "executor.kind=serial"]
        if verb in ("train", "study", "pretrain", "policy")
        else []
    )
    code = main([*(replaced.get(word, word) for word in words[1:]), *more])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert said.out.strip(), "an example that says nothing teaches nothing"
    for path in LEAVES.get(verb, []):
        assert (place / path).stat().st_size > 0
    if verb == "nest":
        assert load_donor(place / "b5.h5").spec == arch_spec(WIDE)


def _interrupt(server: ThreadingHTTPServer) -> None:
    raise KeyboardInterrupt


def test_the_example_of_doctor_is_run_elsewhere():
    """`test_cli.test_doctor_reports_versions_as_json` runs these very words."""
    assert importlib.import_module(VERBS["doctor"].module).EXAMPLE == "efn-compose doctor --json"
