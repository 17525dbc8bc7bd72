"""Notes on evaluations that are too short to rank candidates."""

import re

import pytest

from efn_compose.config import load_config
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.kinds.lamarck import Lamarck
from efn_compose.evolve.options import FitnessOptions
from efn_compose.jobs.search.short_evaluations import (
    ENOUGH,
    evaluation_note,
    short_evaluation_note,
    short_line_note,
)


@pytest.mark.parametrize(
    ("images", "batch", "epochs", "rate"),
    [(320, 32, 1.0, 1e-3), (60, 32, 1.0, 1e-3), (20, 32, 0.5, 3e-3), (500, 8, 0.1, 1e-3)],
)
def test_the_epochs_that_a_note_asks_for_are_enough_and_one_fewer_are_not(
    images, batch, epochs, rate
):
    fitness = FitnessOptions(epochs=epochs, batch_size=batch, learning_rate=rate)
    note = short_evaluation_note(fitness, images)
    needed = int(re.search(r"fitness\.epochs=(\d+)", note).group(1))
    per_epoch = images // min(batch, images)
    assert needed * per_epoch * rate >= ENOUGH - 1e-12
    assert (needed - 1) * per_epoch * rate < ENOUGH
    assert not short_evaluation_note(FitnessOptions(needed, batch, rate), images)
    assert short_evaluation_note(FitnessOptions(needed - 1, batch, rate), images) or needed == 1
    faster = FitnessOptions(epochs, batch, learning_rate=3e-3)
    assert ("learning_rate=0.003" in note) == (not short_evaluation_note(faster, images))


def test_nothing_is_said_where_nobody_knows_the_batch_or_nothing_trains():
    assert not short_evaluation_note(FitnessOptions(batch_size=0), 60)
    assert not short_evaluation_note(FitnessOptions(epochs=0), 60)
    assert not short_evaluation_note(FitnessOptions(learning_rate=0), 60)


@pytest.mark.parametrize(
    ("images", "batch", "kind", "rate"),
    [
        (20, 32, Halving(), 1e-3),
        (20, 32, Lamarck(generations=0), 1e-3),
        (90, 32, Halving(generations=1), 3e-3),
        (31, 16, Halving(generations=3), 1e-3),
    ],
)
def test_a_line_that_hardly_trains_is_said_with_the_epochs_that_mend_it(images, batch, kind, rate):
    fitness = FitnessOptions(batch_size=batch, learning_rate=rate)
    note = short_line_note(fitness, kind, images)
    per_epoch = max(1, images // min(batch, images))
    updates = per_epoch * (kind.generations + 1)
    assert f"by {updates} update" in note and f"{images} images is {per_epoch} update" in note
    needed = int(re.search(r"fitness\.epochs=(\d+)", note).group(1))
    assert needed * updates * rate >= ENOUGH - 1e-12
    assert (needed - 1) * updates * rate < ENOUGH
    mended = FitnessOptions(epochs=needed, batch_size=batch, learning_rate=rate)
    assert not short_line_note(mended, kind, images)


def test_a_kind_of_search_gets_the_note_that_is_true_of_it():
    def note(images, *overrides):
        return evaluation_note(load_config(overrides=overrides), images)

    assert "rank candidates worse" in note(20) and "next to nothing" not in note(20)
    for kind in ("halving", "lamarck"):
        words = note(20, f"search.kind={kind}")
        assert "next to nothing" in words and "rank candidates worse" not in words
        # Each generation trains on: ten updates in each of seven are enough.
        assert not note(320, f"search.kind={kind}")
        assert not note(20, f"search.kind={kind}", "budget.hours=1")
        assert not note(20, f"search.kind={kind}", "fitness.batch_size=0")
