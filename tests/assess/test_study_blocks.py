"""Data sets as blocks: leads over them and on each, and axes that depend on them."""

import numpy as np
import pytest
from scipy import stats

from efn_compose.assess.studies.blocks import block_weights, centred, means_by_data_set
from efn_compose.assess.studies.interactions import TOLD_APART, interaction_probabilities
from efn_compose.assess.studies.lead import ONE_ERROR, find_lead, find_leads

#: Two data sets under three seeds each.
DATA = np.repeat([0, 1], 3)


def steps_of_holm(raw):
    """Holm by his definition: the k-th smallest of n times n - k, never below the one before."""
    found, running = np.empty(len(raw)), 0.0
    for step, place in enumerate(np.argsort(raw)):
        running = max(running, min(1.0, raw[place] * (len(raw) - step)))
        found[place] = running
    return found


def test_over_data_sets_the_test_is_the_paired_one_over_all_blocks():
    rng = np.random.default_rng(0)
    hard = np.where(DATA == 1, 3.0, 0.0)
    scores = rng.normal(size=(4, 6)) + hard + np.arange(4)[:, None]
    found = find_lead(scores, DATA)
    assert found.leader == scores.mean(axis=1).argmin()
    others = [n for n in range(4) if n != found.leader]
    raw = [
        stats.ttest_rel(scores[n], scores[found.leader], alternative="greater").pvalue
        for n in others
    ]
    assert found.probability[others] == pytest.approx(steps_of_holm(raw))
    # How hard a data set is changes nothing.
    assert find_lead(scores - hard, DATA).probability == pytest.approx(
        found.probability, nan_ok=True
    )


def test_on_each_data_set_the_test_is_the_paired_one_there_and_holm_goes_over_all():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, 6)) * 0.3 + np.arange(4)[:, None]
    scores[:, DATA == 1] = scores[::-1][:, DATA == 1] + 5
    leads = find_leads(scores, DATA)
    assert [lead.leader for lead in leads] == [0, 3]
    raw, places = [], []
    for number, lead in enumerate(leads):
        part = scores[:, number == DATA]
        for n in range(4):
            if n != lead.leader:
                raw.append(
                    stats.ttest_rel(part[n], part[lead.leader], alternative="greater").pvalue
                )
                places.append((number, n))
    for (number, n), wanted in zip(places, steps_of_holm(raw), strict=True):
        assert leads[number].probability[n] == pytest.approx(wanted)
        assert (n in leads[number].tied) == (wanted > ONE_ERROR)


def test_data_sets_have_equal_shares_also_where_trainings_failed():
    weights = block_weights(np.array([0, 0, 0, 1]))
    assert weights.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])
    # The error of a mean of two means, one of three blocks and one of one block: on average it is
    # what the means scatter by.
    rng = np.random.default_rng(2)
    draws = rng.normal(size=(4000, 4))
    means = draws[:, :3].mean(axis=1) / 2 + draws[:, 3] / 2
    share = weights @ weights
    squares = (np.square(draws - means[:, None]) @ weights) / (1 - share) * share
    assert squares.mean() == pytest.approx(means.var(), rel=0.06)
    row = np.array([0.5, 0.6, 0.7, 0.4, np.nan, np.nan])
    found = find_lead(np.stack([np.zeros(6), row]), DATA).probability[1]
    known = row[np.isfinite(row)]
    error = np.sqrt(np.square(known - weights @ known) @ weights / (1 - share) * share)
    assert found == pytest.approx(stats.t.sf(weights @ known / error, 3))


def test_a_combination_without_a_data_set_is_not_compared_over_all():
    scores = np.array([[0.1, 0.2, 0.15, 1.1, 1.2, 1.0], [0.0, 0.01, 0.0, *[np.nan] * 3]])
    found = find_lead(scores, DATA)
    assert found.leader == 0 and np.isnan(found.probability[1]) and found.tied == (0,)
    assert [lead.leader for lead in find_leads(scores, DATA)] == [1, 0]


def test_a_lead_of_one_data_set_alone_is_claimed_more_rarely_than_promised():
    rng = np.random.default_rng(3)
    contrary = np.where(DATA == 1, 1.0, -1.0)
    alone = 0
    for _ in range(1000):
        scores = rng.normal(size=(2, 6)) * 0.3
        scores[1] += contrary
        alone += find_lead(scores, DATA).is_alone
    assert alone / 1000 < 0.05 < 2 * ONE_ERROR


def test_centred_scores_are_differences_that_a_failure_elsewhere_does_not_move():
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(5, 6))
    found = centred(scores)
    assert found.mean(axis=0) == pytest.approx(np.zeros(6))
    assert found[1] - found[3] == pytest.approx(scores[1] - scores[3])
    broken = np.vstack([scores, [99.0, *[np.nan] * 5]])
    assert centred(broken)[:5] == pytest.approx(found)
    assert means_by_data_set(scores, DATA)[:, 1] == pytest.approx(scores[:, 3:].mean(axis=1))


def test_whether_an_axis_depends_on_the_data_is_a_t_test_of_its_differences():
    """Two levels on two data sets: the F-test is the square of the two-sample t-test."""
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(2, 6)) + np.array([[0.0] * 6, [0, 0, 0, 1, 1, 1]])
    found = interaction_probabilities(np.array([[0], [1]]), [2], scores, DATA)
    differences = scores[1] - scores[0]
    wanted = stats.ttest_ind(differences[:3], differences[3:]).pvalue
    assert found == pytest.approx([wanted])


def test_an_axis_that_depends_on_the_data_is_found_and_others_are_not():
    rng = np.random.default_rng(6)
    levels = np.array([(a, b) for a in range(3) for b in range(3)])
    wrong = 0
    for _ in range(200):
        scores = rng.normal(size=(9, 6)) * 0.1 + np.where(DATA == 1, 2.0, 0.0)
        scores += levels[:, :1] * np.where(DATA == 1, 0.1, -0.1) + levels[:, 1:] * 0.3
        first, second = interaction_probabilities(levels, [3, 3], scores, DATA)
        assert first < TOLD_APART
        wrong += second < TOLD_APART
    # The other axis has an effect, the same on both; Holm leaves it its 5 %.
    assert wrong / 200 == pytest.approx(TOLD_APART, abs=0.035)


def test_what_the_design_cannot_tell_has_no_probability():
    levels, one = np.array([[0], [1]]), np.zeros(3, int)
    assert np.isnan(interaction_probabilities(levels, [2], np.ones((2, 3)), one)).all()
    # A level that only one data set has, and too few scores for an error.
    scores = np.array([[1.0, np.nan], [2.0, 3.0]])
    assert np.isnan(interaction_probabilities(levels, [2], scores, np.array([0, 1]))).all()
