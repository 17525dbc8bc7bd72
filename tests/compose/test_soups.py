"""Averages, greedy soups and merges against hand-computed weights."""

import numpy as np
import pytest
from nano_donors import nano_donor

from efn_compose.compose.merges import mega, task_arithmetic, ties
from efn_compose.compose.soups import blend, greedy_soup, uniform_soup
from efn_compose.compose.space import segments
from efn_compose.errors import ComposeError, IncompatibleDonorsError

BASE = nano_donor(seed=0)


def tuned(seed, noise=0.1):
    rng = np.random.default_rng(seed)
    tensors = {
        name: (
            values * np.exp(noise * rng.normal(size=values.shape))
            if name.endswith("variance")
            else values + noise * rng.normal(size=values.shape)
        ).astype(np.float32)
        for name, values in BASE.tensors.items()
    }
    return BASE.replace(name=f"tuned{seed}", tensors=tensors)


DONORS = [tuned(1), tuned(2), tuned(3)]
KERNEL, MEAN, VARIANCE = "stem_conv/kernel", "stem_bn/moving_mean", "stem_bn/moving_variance"


def stacked(name, donors=DONORS):
    return np.stack([donor.tensors[name].astype(np.float64) for donor in donors])


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
        soup = blend(DONORS, weights)
        assert all(
            np.array_equal(soup.tensors[name], values)
            for name, values in DONORS[number].tensors.items()
        )


def test_each_segment_has_its_own_weights():
    weights = {name: [1.0, 0.0, 0.0] for name in segments(BASE.spec)}
    weights["stage3_block1"] = [0.0, 0.25, 0.75]
    soup = blend(DONORS, weights)
    for name, values in soup.tensors.items():
        if not name.startswith("stage3_block1_"):
            assert np.array_equal(values, DONORS[0].tensors[name]), name
    name = "stage3_block1_project_conv/kernel"
    expected = 0.25 * DONORS[1].tensors[name] + 0.75 * DONORS[2].tensors[name]
    np.testing.assert_allclose(soup.tensors[name], expected, rtol=1e-5, atol=1e-6)


def test_strangers_are_refused_unless_allowed():
    stranger = nano_donor(seed=5)
    for make in (uniform_soup, lambda donors: greedy_soup(donors, lambda donor: 0.0)):
        with pytest.raises(IncompatibleDonorsError, match="2 lineages"):
            make([DONORS[0], stranger])
    mixed = uniform_soup([DONORS[0], stranger], allow_unrelated=True)
    np.testing.assert_allclose(
        mixed.tensors[KERNEL], stacked(KERNEL, [DONORS[0], stranger]).mean(axis=0), rtol=1e-5
    )


def test_wrong_weights_are_listed():
    with pytest.raises(ComposeError, match="sum to 1"):
        blend(DONORS, [0.5, 0.1, 0.1])
    with pytest.raises(ComposeError, match="unknown: stage99"):
        blend(DONORS, {"stage99": [1.0, 0.0, 0.0]})


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


def test_greedy_soup_survives_failed_scores():
    scores = {"tuned1": float("nan"), "tuned2": 1.0, "tuned3": float("nan")}
    soup = greedy_soup(DONORS, lambda donor: scores.get(donor.name, float("nan")))
    assert soup.members == (1,)


def test_task_arithmetic_adds_task_vectors():
    merged = task_arithmetic(BASE, DONORS, scale=0.4)
    base = BASE.tensors[KERNEL].astype(np.float64)
    expected = base + 0.4 * (stacked(KERNEL) - base).sum(axis=0)
    np.testing.assert_allclose(merged.tensors[KERNEL], expected, rtol=1e-4, atol=1e-6)
    third = task_arithmetic(BASE, DONORS, scale=1 / 3)
    np.testing.assert_allclose(third.tensors[KERNEL], stacked(KERNEL).mean(axis=0), atol=1e-6)
    assert min(v.min() for n, v in merged.tensors.items() if n.endswith("variance")) >= 0


def test_ties_equals_its_definition_weight_by_weight():
    density = 0.3
    merged = ties(BASE, DONORS, density=density)
    names = [name for name in BASE.tensors if "moving" not in name]
    flat = np.stack(
        [
            np.concatenate(
                [(d.tensors[n].astype(np.float64) - BASE.tensors[n]).ravel() for n in names]
            )
            for d in DONORS
        ]
    )
    for row in flat:
        row[np.abs(row) < np.quantile(np.abs(row), 1 - density)] = 0
    expected = np.zeros(flat.shape[1])
    for position in range(0, flat.shape[1], 7):
        column = flat[:, position]
        sign = np.sign(column.sum())
        kept = [value for value in column if value != 0 and np.sign(value) == sign]
        expected[position] = np.mean(kept) if kept else 0
    found = np.concatenate(
        [(merged.tensors[n].astype(np.float64) - BASE.tensors[n]).ravel() for n in names]
    )
    # np.quantile interpolates, so one entry per donor at the threshold may differ.
    wrong = np.abs(found[::7] - expected[::7]) > 1e-5
    assert wrong.sum() <= len(DONORS)
    assert np.count_nonzero(expected[::7]) > 1000


def test_mega_finds_the_best_blend_and_keeps_the_donors():
    target = 0.3 * stacked(KERNEL)[0] + 0.7 * stacked(KERNEL)[1]

    def evaluate(donor):
        return -float(np.square(donor.tensors[KERNEL] - target).sum())

    found = mega(DONORS[:2], evaluate, population=8, generations=6)
    assert found.weights[0] == pytest.approx(0.3, abs=0.05)
    assert found.score >= max(evaluate(donor) for donor in DONORS[:2])
    assert mega(DONORS[:2], evaluate, population=8, generations=6).weights == found.weights
