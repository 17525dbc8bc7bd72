"""Settings of trainings: which of version 0.1 are gone, and which are read when."""

import json
from pathlib import Path

import pytest

from efn_compose.config import dump_toml, load_config
from efn_compose.errors import ConfigError, ResumeMismatchError
from efn_compose.jobs.study.options import StudyConfig
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.jobs.trainings.preparation import STORED
from efn_compose.settings.renamed import OldSettingWarning

#: Written by version 0.1.0, with its own hash.
KEPT = Path(__file__).parents[2] / "data" / "runs_0_1_0" / "training"
#: What the kept run was asked for.
ASKED = (
    "weights.file=donor.h5", "data.source=folder:photos", "data.size=32", "train.epochs=3",
    "train.schedule=cosine_restarts", "train.cycle_epochs=1", "validation.folds=2",
    "validation.seeds=2", "train.sizes=16,32", "augment.rotation=90", "executor.kind=serial",
)  # fmt: skip


def _text(*overrides):
    return dump_toml(load_config(None, [*ASKED, *overrides], TrainConfig))


def test_a_training_of_version_0_1_goes_on_with_the_same_settings():
    stored = (KEPT / "config.toml").read_text(encoding="utf-8")
    identity = json.loads((KEPT / "environment.json").read_text())["identity"]
    assert STORED.hash(stored) == identity["config"]
    text = _text()
    assert STORED.resumed_identity(KEPT, text, {"config": STORED.hash(text)}) == identity
    other = _text("train.dropout=0.3")
    now = {"config": STORED.hash(other)}
    assert STORED.resumed_identity(KEPT, other, now) == now


def test_a_training_of_version_0_1_with_a_setting_that_is_gone_is_left_to_its_version():
    stored = (KEPT / "config.toml").read_text(encoding="utf-8")
    with pytest.raises(ResumeMismatchError, match=r"validation\.worst_rate = 0\.1 cannot be had"):
        STORED.read(stored.replace('worst_rate = "none"', "worst_rate = 0.1"))


@pytest.mark.parametrize("schema", [TrainConfig, StudyConfig])
def test_equal_images_are_listed_by_the_word_of_the_folds_verb_and_by_the_old_one(schema):
    with pytest.warns(OldSettingWarning, match='duplicates = "list" is "report" now'):
        config = load_config(None, ["validation.duplicates=list"], schema)
    assert config.validation.duplicates == "report" == schema().validation.duplicates
    # Both write down the same, so that a run of the other word goes on.
    assert dump_toml(config) == dump_toml(schema())
    with pytest.raises(ConfigError, match=r"report.*join.*refuse"):
        load_config(None, ["validation.duplicates=lists"], schema)


@pytest.mark.parametrize(
    ("gone", "step"),
    [
        ("validation.worst_rate=0.1", "--worst-rate"),
        ("validation.worst_size_distance=0.1", "--worst-size-distance"),
        ("train.warm_up_classifier=true", "leave it out"),
        ("train.absorb_images=64", "leave it out"),
        ("semi.decay=0.9", "train.ema"),
    ],
)
def test_a_setting_that_is_gone_says_what_to_do_instead(gone, step):
    with pytest.raises(ConfigError, match="cannot be had any more") as caught:
        load_config(None, [gone], TrainConfig)
    assert step in str(caught.value)


def test_at_its_old_default_it_is_left_out_with_a_word():
    with pytest.warns(OldSettingWarning, match=r"semi\.decay is gone"):
        load_config(None, ["semi.decay=0.99"], TrainConfig)


@pytest.mark.parametrize(
    ("given", "reader"),
    [
        ("train.cycle_epochs=3", 'train.schedule = "triangular" or "cosine_restarts"'),
        ("train.cycle_growth=3", '"cosine_restarts"'),
        ("train.lowest_rate=0.1 train.schedule=cosine", '"one_cycle"'),
        ("semi.rounds=3", '"noisy-student"'),
        ("semi.rounds=3 semi.method=mean-teacher", '"noisy-student"'),
        ("semi.consistency=1 semi.method=noisy-student", '"mean-teacher"'),
        ("semi.ramp_up=1", '"mean-teacher"'),
        ("semi.per_class=9 semi.method=noisy-student semi.balance=false", "balance = true"),
        ("semi.unlabelled=digits", '"noisy-student" or "mean-teacher"'),
        ("data.unreadable_share=0.1 data.source=digits", "folder:PATH"),
    ],
)
def test_a_setting_without_effect_is_refused_by_name(given, reader):
    name = given.partition("=")[0]
    with pytest.raises(ConfigError) as caught:
        load_config(None, given.split(), TrainConfig)
    assert f"{name} = " in str(caught.value) and reader in str(caught.value)


def test_settings_are_read_where_something_reads_them():
    load_config(
        None,
        ["train.lowest_rate=0.1", "semi.method=noisy-student", "semi.per_class=9"],
        TrainConfig,
    )
