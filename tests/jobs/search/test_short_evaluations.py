"""Notes on evaluations that are too short to rank candidates."""

import re

import pytest

from efn_compose.evolve.options import FitnessOptions
from efn_compose.jobs.search.short_evaluations import ENOUGH, short_evaluation_note


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
