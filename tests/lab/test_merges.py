"""Merging baselines of the literature against their definitions."""

import numpy as np
import pytest
from fine_tunings import BASE, DONORS, KERNEL, stacked
from lab.merges import mega, task_arithmetic, ties


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
