"""An ensemble that submits ranks, which are no probabilities."""

import csv
import json

import numpy as np
import pytest
from tiny_recipe import quarters, tiny_donor
from tiny_runs import train_tiny
from verbs import run_verb

from efn_compose.errors import ConfigError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    tiny_donor().save(folder / "tiny.h5")
    for name, count, seed in (("images", 48, 0), ("new", 40, 5)):
        images, labels = quarters(count, seed)
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
    train_tiny(folder, "run", "images.npz", validation__folds=2, validation__seeds=2)
    return folder


def _words(place, name, *more):
    data = f"npz:{place / 'new.npz'}"
    return [
        "ensemble",
        place / "run",
        "--data",
        data,
        "--measure",
        "accuracy",
        "-o",
        place / name,
        *more,
    ]


@pytest.mark.slow
def test_ranks_order_images_and_call_none(place):
    words = _words(place, "ranks", "--quiet", "--method", "rank_mean")
    words[words.index("--measure") + 1] = "auc"
    assert run_verb(*words) == 0
    result = json.loads((place / "ranks" / "result.json").read_text())
    other = {"median": "rank_mean", "rank_mean": "median"}[result["written"]]
    called = {}
    for name in ("plan_b", "submission", "second"):
        with open(place / "ranks" / f"{name}.csv", newline="") as file:
            called[name] = [row["predicted"] for row in csv.DictReader(file)]
    assert called["plan_b"] == called["submission"] == called["second"] and other
    page = (place / "ranks" / "report.html").read_text(encoding="utf-8")
    assert "wrong on outer folds, called by median" in page
    against = [*_words(place, "beside", "--quiet"), "--against", place / "ranks"]
    if result["written"] == "rank_mean":
        with pytest.raises(ConfigError, match="submits ranks"):
            run_verb(*against)
