"""The best temperature against brute force and theorems."""

import numpy as np
import pytest

from efn_compose.assess.metrics import best_temperature, cross_entropy, scores

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, 400)
LOGITS = RNG.normal(size=(400, 5)) + 2 * np.eye(5)[LABELS]


@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_no_other_temperature_of_a_fine_grid_is_better(scale):
    logits = LOGITS * scale
    found = cross_entropy(logits / best_temperature(logits, LABELS), LABELS)
    grid = [cross_entropy(logits / t, LABELS) for t in np.geomspace(0.05, 50, 2000)]
    assert found <= min(grid) + 1e-9
    assert found == pytest.approx(min(grid), abs=1e-4)


def test_the_calibrated_loss_does_not_depend_on_the_logits_scale():
    losses = []
    for logits in (LOGITS * 0.5, LOGITS * 9):
        heat = best_temperature(logits, LABELS)
        losses.append(scores(logits, LABELS, "accuracy", temperature=heat)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    assert losses[0] < scores(LOGITS * 9, LABELS, "accuracy")["loss"]


@pytest.mark.parametrize("count", [10, 40, 1000])
def test_where_every_image_is_right_the_temperature_is_that_of_smoothed_labels(count):
    labels = np.arange(count) % 2
    margins = 5 * np.eye(2)[labels]
    # Of equal margins the best temperature is a closed form: a logit of the smoothed share.
    share = 1 / (count + 2) / 2
    wanted = 5 / np.log((1 - share) / share)
    assert best_temperature(margins, labels) == pytest.approx(wanted, rel=1e-6)
    # So larger margins are no smaller loss: what they are divided by grows with them.
    losses = [
        cross_entropy(logits / best_temperature(logits, labels), labels)
        for logits in (margins, 3 * margins)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6) and losses[0] > 0.1 / count


def test_logits_that_are_true_log_odds_need_no_temperature():
    # Labels drawn from the very probabilities: the best temperature tends to 1.
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(40_000, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((40_000, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    assert best_temperature(logits, labels) == pytest.approx(1, abs=0.03)
