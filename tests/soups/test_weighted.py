"""Averages and greedy soups against hand-computed weights."""

import itertools

import numpy as np
import pytest
from fine_tunings import BASE, DONORS, KERNEL, MEAN, VARIANCE, stacked, tuned
from random_donors import random_donor

from efn_compose.compose.space import segments
from efn_compose.errors import ComposeError, IncompatibleDonorsError
from efn_compose.soups import greedy_soup, uniform_soup, weighted_soup


def test_uniform_soup_is_the_mean_and_pools_statistics():
    soup = uniform_soup(DONORS)
    np.testing.assert_allclose(soup.tensors[KERNEL], stacked(KERNEL).mean(axis=0), rtol=1e-5)
    # Equal-sized samples of the three distributions, taken together, have this variance.
    pooled = stacked(VARIANCE).mean(axis=0) + stacked(MEAN).var(axis=0)
    np.testing.assert_allclose(soup.tensors[VARIANCE], pooled, rtol=1e-5)


def test_weight_one_gives_the_donor_back_bit_for_bit():
    for number in range(3):
        weights = [0.0, 0.0, 0.0]
        weights[number] = 1.0
        soup = weighted_soup(DONORS, weights)
        assert all(
            np.array_equal(soup.tensors[name], values)
            for name, values in DONORS[number].tensors.items()
        )


def test_each_segment_has_its_own_weights():
    weights = {name: [1.0, 0.0, 0.0] for name in segments(BASE.spec)}
    weights["stage3_block1"] = [0.0, 0.25, 0.75]
    soup = weighted_soup(DONORS, weights)
    for name, values in soup.tensors.items():
        if not name.startswith("stage3_block1_"):
            assert np.array_equal(values, DONORS[0].tensors[name]), name
    name = "stage3_block1_project_conv/kernel"
    expected = 0.25 * DONORS[1].tensors[name] + 0.75 * DONORS[2].tensors[name]
    np.testing.assert_allclose(soup.tensors[name], expected, rtol=1e-5, atol=1e-6)


def test_strangers_are_refused_unless_allowed():
    stranger = random_donor(seed=5)
    for make in (uniform_soup, lambda donors: greedy_soup(donors, lambda donor: 0.0)):
        with pytest.raises(IncompatibleDonorsError, match="2 lineages"):
            make([DONORS[0], stranger])
    mixed = uniform_soup([DONORS[0], stranger], allow_unrelated=True)
    np.testing.assert_allclose(
        mixed.tensors[KERNEL], stacked(KERNEL, [DONORS[0], stranger]).mean(axis=0), rtol=1e-5
    )


def test_wrong_weights_are_listed():
    with pytest.raises(ComposeError, match="sum to 1"):
        weighted_soup(DONORS, [0.5, 0.1, 0.1])
    with pytest.raises(ComposeError, match="unknown: stage99"):
        weighted_soup(DONORS, {"stage99": [1.0, 0.0, 0.0]})


def test_greedy_soup_equals_the_published_procedure():
    """Score: closeness to a target that the mean of donors 0 and 2 hits exactly."""
    target = stacked(KERNEL)[[0, 2]].mean(axis=0)
    calls = []

    def evaluate(donor):
        calls.append(donor.name)
        return -float(np.square(donor.tensors[KERNEL] - target).sum())

    soup = greedy_soup(DONORS, evaluate)
    assert set(soup.members) == {0, 2}
    assert soup.evaluations == len(calls) == 5
    assert soup.score >= max(soup.scores)
    np.testing.assert_allclose(soup.donor.tensors[KERNEL], target, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_soup_is_the_one_choice_that_keeps_its_own_rule(seed):
    """Every subset has a score of its own; all sequences of yes and no are tried."""
    donors = [tuned(number) for number in range(5)]
    rng = np.random.default_rng(seed)
    means = {
        members: stacked(KERNEL, [donors[number] for number in members]).mean(axis=0)
        for size in range(1, 6)
        for members in itertools.combinations(range(5), size)
    }
    scores = {members: float(rng.normal()) for members in means}

    def evaluate(donor):
        near = min(means, key=lambda m: np.abs(means[m] - donor.tensors[KERNEL]).max())
        return scores[near]

    order = sorted(range(5), key=lambda number: -scores[(number,)])
    kept = []
    for choices in itertools.product((True, False), repeat=4):
        members, is_lawful = (order[0],), True
        for number, joins in zip(order[1:], choices, strict=True):
            larger = tuple(sorted((*members, number)))
            is_lawful &= joins == (scores[larger] >= scores[members])
            members = larger if joins else members
        if is_lawful:
            kept.append(members)
    (only,) = kept
    found = greedy_soup(donors, evaluate)
    assert tuple(sorted(found.members)) == only
    assert found.score == scores[only]


def test_greedy_soup_survives_failed_scores():
    scores = {"tuned1": float("nan"), "tuned2": 1.0, "tuned3": float("nan")}
    soup = greedy_soup(DONORS, lambda donor: scores.get(donor.name, float("nan")))
    assert soup.members == (1,)
