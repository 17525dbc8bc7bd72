"""How long evaluations are: enough updates to rank candidates, and a word where somebody asks for fewer."""

import dataclasses
import re

import pytest

from efn_compose.config import load_config
from efn_compose.jobs.search.evaluation_length import ENOUGH, enough_epochs, with_epochs

KINDS = ("genetic", "halving", "lamarck")


def _config(*overrides):
    return load_config(overrides=overrides)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("images", "batch", "rate"), [(320, 32, 1e-3), (60, 32, 1e-3), (20, 32, 3e-3), (9000, 8, 1e-5)]
)
def test_epochs_are_enough_and_one_fewer_are_not(kind, images, batch, rate):
    config = _config(
        f"search.kind={kind}", f"fitness.batch_size={batch}", f"fitness.learning_rate={rate}"
    )
    generations = 1 if kind == "genetic" else config.kind.generations + 1
    per_epoch = images // min(batch, images) * generations
    decided, note = with_epochs(config, images)
    epochs = decided.fitness.passes
    assert epochs * per_epoch * rate >= ENOUGH - 1e-12
    assert epochs == 1 or (epochs - 1) * per_epoch * rate < ENOUGH
    updates = epochs * (images // min(batch, images))
    assert (f"trains for {epochs:g} epochs ({updates:,g} update" in note) == (epochs > 1)
    # One that is decided is as good as one that somebody asks for.
    assert with_epochs(decided, images) == (decided, "")
    if epochs > 1:
        fewer = dataclasses.replace(decided.fitness, epochs=epochs - 1)
        kept, warning = with_epochs(dataclasses.replace(decided, fitness=fewer), images)
        assert kept.fitness.passes == epochs - 1
        assert "--set fitness.epochs=auto mends that" in warning
        assert ("rank candidates worse" in warning) == (kind == "genetic")
        assert ("next to nothing" in warning) == (kind != "genetic")
        assert f" {(epochs - 1) * per_epoch:,g} update" in warning


def test_many_images_are_seen_once():
    assert enough_epochs(_config(), 100_000) == 1


def test_a_note_names_a_rate_that_needs_fewer_epochs():
    _, note = with_epochs(_config(), 320)
    asked = re.search(r"(fitness\.learning_rate=\S+) needs (\d+) epoch", note)
    assert enough_epochs(_config(asked.group(1)), 320) == int(asked.group(2)) == 1
    _, note = with_epochs(_config("fitness.learning_rate=3e-3"), 64)
    assert note and "it would be" not in note


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_knows_yet_is_left_open_and_time_decides_alone(kind):
    config = _config(f"search.kind={kind}", "fitness.batch_size=0")
    assert with_epochs(config, 60) == (config, "")
    assert enough_epochs(_config("fitness.learning_rate=0"), 60) == 1
    for_hours = _config(f"search.kind={kind}", "budget.hours=1")
    decided, note = with_epochs(for_hours, 20)
    # The number of generations is not known, but each evaluation of a composition is.
    assert decided.fitness.passes == (30 if kind == "genetic" else 1)
    assert bool(note) == (kind == "genetic")


def test_what_is_asked_for_is_done_and_its_fault_said():
    for epochs in (0, 0.5, 1):
        config = _config(f"fitness.epochs={epochs}")
        kept, note = with_epochs(config, 320)
        assert kept == config
        # Without an epoch nothing trains, as somebody wants who asks for it.
        assert bool(note) == (epochs > 0)
