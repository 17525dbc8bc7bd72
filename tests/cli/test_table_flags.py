"""`--columns` and `--image-folder`: the same words in every verb that reads a table of images."""

import argparse

import pytest

from efn_compose.cli.shared.command import VERBS, load_verb
from efn_compose.cli.shared.images import table_settings
from efn_compose.config import load_config
from efn_compose.jobs.trainings.options import TrainConfig

NEEDED = {
    "train": [],
    "evolve": [],
    "study": ["grid"],
    "ensemble": [],
    "predict": ["a", "--data", "b"],
}
NEEDED |= {"folds": ["csv:a"], "rank": ["a", "--data", "b"], "absorb": ["a", "--images", "b"]}


def parsed(verb, *words):
    parser = argparse.ArgumentParser()
    load_verb(verb).add_arguments(parser)
    required = ["-o", "c"] if verb in ("absorb", "folds", "predict") else []
    return parser.parse_args([*NEEDED[verb], *required, *words])


@pytest.mark.parametrize("verb", NEEDED)
def test_pairs_may_be_words_or_stand_between_commas(verb):
    assert verb in VERBS
    words = ["--columns", "image=isic_id,label=a, b", "patient=who", "--image-folder", "a b"]
    options = parsed(verb, *words, "--columns", "mask=m")
    pairs = ["image=isic_id", "label=a, b", "patient=who", "mask=m"]
    assert (options.columns, options.image_folder) == (pairs, "a b")
    assert parsed(verb).columns == [] and table_settings(parsed(verb)) == []


def test_they_are_settings_of_a_configuration():
    words = ["--columns", "image=größe,label=a", "--image-folder", "a=b, c"]
    given = table_settings(parsed("train", *words))
    config = load_config(None, ["data.source=csv:a.csv", *given], TrainConfig)
    assert config.data.columns == ("image=größe", "label=a")
    assert config.data.folder == "a=b, c"
