"""The verdict on contestants whose losses are known."""

import math

import numpy as np
import pytest
from scipy import stats

from efn_compose.evolve.verdict.verdict import (
    AVERAGE,
    COMPOSED,
    Arm,
    choose_challenger,
    give_verdict,
    paired_difference,
)

DONORS = [Arm("a", (1.0, 1.1, 0.9), (1.0, 1.1, 0.9)), Arm("b", (0.8, 0.9, 0.7), (0.8, 0.9, 0.7))]


def _arm(name, validation, test=None):
    return Arm(name, tuple(validation), tuple(test or validation))


def test_paired_difference_agrees_with_scipy():
    first, second = [0.3, 0.5, 0.45, 0.6], [0.35, 0.5, 0.6, 0.62]
    found = paired_difference(first, second)
    t = stats.ttest_rel(first, second).statistic
    assert found.mean / found.standard_error == pytest.approx(t)


def test_a_clear_win_writes_the_composition():
    verdict = give_verdict(_arm(COMPOSED, (0.5, 0.6, 0.4)), DONORS)
    assert (verdict.winner, verdict.best_donor) == (COMPOSED, "b")
    assert "confirms" in verdict.words


def test_a_win_within_one_standard_error_writes_the_donor_and_says_so():
    verdict = give_verdict(_arm(COMPOSED, (0.2, 1.4, 0.7)), DONORS)
    assert verdict.winner == "b"
    assert "Nothing beat the best donor" in verdict.words


def test_the_test_split_never_decides():
    good_on_test = _arm(COMPOSED, (0.9, 1.0, 0.8), (0.0, 0.0, 0.0))
    assert give_verdict(good_on_test, DONORS).winner == "b"
    bad_on_test = _arm(COMPOSED, (0.5, 0.6, 0.4), (2.0, 2.1, 1.9))
    verdict = give_verdict(bad_on_test, DONORS)
    assert verdict.winner == COMPOSED
    assert "contradicts" in verdict.words


@pytest.mark.parametrize("shift", [-0.06, -0.03, 0.0, 0.03, 0.06])
def test_the_test_split_confirms_or_contradicts_only_beyond_its_interval(shift):
    rng = np.random.default_rng(5)
    ours = np.array(DONORS[1].test_loss) + shift + rng.normal(0, 0.01, 3)
    verdict = give_verdict(_arm(COMPOSED, (0.5, 0.6, 0.4), tuple(ours)), DONORS)
    low, high = stats.ttest_rel(ours, DONORS[1].test_loss).confidence_interval()
    says = "confirms it" if high < 0 else "contradicts it" if low > 0 else "leaves it open"
    assert says in verdict.words
    assert ("(95 % interval around 0)" in verdict.words) == (low < 0 < high)


def test_the_average_can_win():
    average = _arm(AVERAGE, (0.1, 0.2, 0.05))
    verdict = give_verdict(average, DONORS, [_arm(COMPOSED, (0.5, 0.6, 0.4)), average])
    assert verdict.winner == AVERAGE


@pytest.mark.parametrize(("losses", "wins"), [((0.1, 0.2, 0.05), True), ((0.3, 0.4, 0.2), False)])
def test_what_was_trained_on_is_compared_with_its_own_like_and_with_the_best_donor(losses, wins):
    rival = _arm("latest_state", (0.3, 0.35, 0.25))
    verdict = give_verdict(_arm(COMPOSED, losses), [*DONORS, rival])
    assert verdict.winner == (COMPOSED if wins else "latest_state")
    like, donor = "the latest state of the same training", "the best donor, b"
    first = f"The composed weights beat {like} on" if wins else f"Nothing beat {like} by more"
    assert verdict.words.startswith(first)
    mean = sum(losses if wins else (0.3, 0.35, 0.25)) / 3 - 0.8
    assert f"the written weights are better than {donor}: {mean:+.4f}" in verdict.words
    assert "relative to it" in verdict.words


def test_no_survivor_writes_the_best_donor():
    verdict = give_verdict(None, DONORS)
    assert (verdict.winner, verdict.validation) == ("b", None)


def test_steadiness_breaks_ties_between_finalists():
    lucky, steady = _arm("lucky", (0.1, 1.0, 0.7)), _arm("steady", (0.6, 0.61, 0.62))
    assert math.isclose(sum(lucky.validation_loss), 1.8)
    assert choose_challenger([lucky, steady]).name == "steady"
