"""How often a pretraining that is worth nothing is called ahead, and what a lead counts as."""

import json

import numpy as np
import pytest
from scipy import stats

from efn_compose.jobs.pipeline.worth import Worth
from efn_compose.jobs.pretraining.verdict import give_verdicts

SEEDS = 5
#: One-sided chance that a single arm's mean is lower by more than a standard error.
PROMISED = stats.t.sf(1, SEEDS - 1)


def judged(losses):
    """Verdicts of losses (arm, seed); the first arm is the absorbed donor."""
    rest = {"accuracy": 0.5, "ridge": 0.5, "knn": 0.5}
    names = ["absorbed", *(f"vicreg_seed{n}" for n in range(1, len(losses)))]
    rows = [[{"loss": float(loss), **rest} for loss in own] for own in losses]
    return give_verdicts(dict(zip(names, rows, strict=True)))


@pytest.mark.parametrize(("arms", "lowest"), [(1, 0.16), (3, 0.12), (9, 0.10)])
def test_of_equal_pretrainings_one_is_ahead_about_as_rarely_as_a_single_one(arms, lowest):
    rng = np.random.default_rng(arms)
    runs = [judged(rng.normal(size=(arms + 1, SEEDS))) for _ in range(1500)]
    share = np.mean([any(arm.is_ahead for arm in run) for run in runs])
    assert lowest < share < PROMISED + 0.025
    behind = np.mean([any("is behind" in arm.words for arm in run) for run in runs])
    assert lowest < behind < PROMISED + 0.025


def test_a_single_pretraining_is_ahead_by_more_than_one_standard_error():
    rng = np.random.default_rng(0)
    for _ in range(300):
        losses = rng.normal(size=(2, SEEDS)) - [[0.0], [0.4]]
        (arm,) = judged(losses)
        errors = -np.mean(losses[1] - losses[0]) / stats.sem(losses[1] - losses[0])
        assert arm.counts_as == pytest.approx(errors) and arm.is_ahead == (errors > 1)
        assert "Holm" not in arm.words


def test_a_lead_of_several_counts_as_what_is_as_rare_for_one():
    rng = np.random.default_rng(1)
    losses = rng.normal(size=(4, SEEDS)) - np.array([0, 3, 0, 0])[:, None]
    first = judged(losses)[0]
    change = losses[1] - losses[0]
    alone = stats.ttest_1samp(change, 0, alternative="less").pvalue
    assert first.name == "vicreg_seed1" and first.is_ahead
    assert stats.t.sf(first.counts_as, SEEDS - 1) == pytest.approx(3 * alone)
    assert "ahead of the absorbed donor by Holm's rule over 3 pretrainings" in first.words


def test_a_gain_without_scatter_is_written_as_json():
    ahead, equal = judged(np.array([[1.0, 2.0], [0.5, 1.5], [1.0, 2.0]]))
    assert ahead.is_ahead and not equal.is_ahead
    assert json.loads(json.dumps(ahead.to_json(), allow_nan=False))["counts_as"] is None


def test_a_chosen_pretraining_pays_by_what_its_gain_counts_as():
    words = [Worth("views", "", "", 0.3, 0.1, counts_as=n).words for n in (0.8, 1.5, 2.5, None)]
    assert words == ["not told apart", "may pay", "pays", "pays"]
    # The best of several that is worse than nothing costs what it costs.
    assert Worth("views", "", "", -0.3, 0.1, counts_as=-3.0).words == "costs"
