"""Folds of many classes: the same to the bit as by dense tables, in memory that grows with the images."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from efn_compose.data.folding.class_counts import ClassCounts
from efn_compose.data.folding.fold_quality import measure_folds
from efn_compose.data.folding.folds import make_folds
from efn_compose.data.folding.grouped import assign_groups
from efn_compose.data.folding.summation import add_up, additions
from efn_compose.data.table import ImageTable

seeds = st.integers(0, 2**32 - 1)


def table_of(labels: np.ndarray, groups: np.ndarray | None, classes: int) -> ImageTable:
    pixels = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (len(labels), 1, 1, 3))
    names = tuple(str(number) for number in range(classes))
    return ImageTable(pixels, labels.astype(np.int32), names, "table", groups)


def dense_counts(patients: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    counts = np.zeros((patients.max() + 1, classes))
    np.add.at(counts, (patients, labels), 1)
    return counts


def dense_folds(counts: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each patient by the formula as it is written down, over whole rows."""
    sizes = counts.sum(axis=1)
    _, signature = np.unique(counts > 0, axis=0, return_inverse=True)
    signature = signature.reshape(-1)
    kinds = np.eye(signature.max() + 1)[signature]
    measures = np.column_stack([counts, sizes, counts > 0, kinds, np.ones(len(counts))])
    measures = measures / np.maximum(measures.sum(axis=0), 1) * folds
    order = np.lexsort((rng.random(len(counts)), counts.argmax(axis=1), sizes, signature))
    blocks = [
        members[start : start + folds]
        for number in range(signature.max() + 1)
        if len(members := order[signature[order] == number])
        for start in range(0, len(members), folds)
    ]
    blocks.sort(key=lambda block: -measures[block].std(axis=0).sum())
    filled = np.zeros((folds, measures.shape[1]))
    fold = np.full(len(counts), -1)
    for _ in range(6):
        before = fold.copy()
        for block in blocks:
            if fold[block[0]] >= 0:
                np.subtract.at(filled, fold[block], measures[block])
            rows = measures[block]
            growth = ((2 * (filled[None] - filled.mean(0)) + rows[:, None]) * rows[:, None]).sum(2)
            chosen, places = linear_sum_assignment(growth)
            fold[block[chosen]] = places
            np.add.at(filled, fold[block], rows)
        if (fold == before).all():
            break
    return fold


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 10), st.sampled_from([2, 5, 60, 150]), st.booleans())
def test_folds_are_those_of_dense_tables(seed, count, classes, has_patients):
    rng = np.random.default_rng(seed)
    # Each class in as many patients as there are folds, and images at random beside.
    sure = np.tile(np.arange(classes), count)
    labels = np.concatenate([sure, rng.integers(0, classes, rng.integers(0, 200))])
    patients = np.arange(len(labels))
    if has_patients:
        extra = rng.integers(0, count * classes, len(labels) - len(sure))
        patients = np.concatenate([np.arange(len(sure)), extra])
    wanted = dense_folds(
        dense_counts(patients, labels, classes), count, np.random.default_rng([seed, 0xF01D])
    )
    groups = patients.astype(np.int32) if has_patients else None
    found = make_folds(table_of(labels, groups, classes), count, seed=seed)
    np.testing.assert_array_equal(found.fold, wanted[patients])


@given(seeds)
def test_a_sum_over_few_numbers_is_numpys_over_the_whole_row(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 2000))
    places = np.sort(rng.choice(width, rng.integers(1, min(width, 40) + 1), replace=False))
    row = np.zeros(width)
    row[places] = rng.normal(size=len(places)) * 10.0 ** rng.integers(-9, 9, len(places))
    assert add_up(row[places], additions(places.tolist(), width)) == row.sum()


@settings(deadline=None)
@given(seeds, st.integers(1, 6))
def test_counts_are_those_of_a_dense_table(seed, classes):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 12, rng.integers(1, 60))
    labels = rng.integers(0, classes, len(groups))
    patients = np.unique(groups, return_inverse=True)[1]
    dense, counts = (
        dense_counts(patients, labels, classes),
        ClassCounts.of(patients, labels, classes),
    )
    np.testing.assert_array_equal(counts.dense(0, counts.patients), dense)
    np.testing.assert_array_equal(counts.sizes, dense.sum(axis=1))
    np.testing.assert_array_equal(counts.class_sizes, dense.sum(axis=0))
    np.testing.assert_array_equal(counts.class_patients, (dense > 0).sum(axis=0))
    np.testing.assert_array_equal(counts.commonest(), dense.argmax(axis=1))
    np.testing.assert_array_equal(counts.spread(), dense.std(axis=1))
    kinds = np.unique(dense > 0, axis=0, return_inverse=True)[1]
    np.testing.assert_array_equal(counts.kinds(), kinds.reshape(-1))


def test_quality_is_counted_image_by_image():
    rng = np.random.default_rng(0)
    labels, groups, fold = (rng.integers(0, high, 300) for high in (7, 40, 3))
    quality = measure_folds(labels, groups, fold, tuple("abcdefg"))
    for number in range(3):
        for label in range(7):
            members = [
                g for f, c, g in zip(fold, labels, groups, strict=True) if (f, c) == (number, label)
            ]
            assert quality.class_images[number][label] == len(members)
            assert quality.class_patients[number][label] == len(set(members))


@pytest.mark.slow
def test_memory_does_not_grow_with_images_times_classes():
    images, classes = 4_000, 800
    labels = np.arange(images) % classes
    table = table_of(labels, None, classes)
    dense_bytes = images * classes * 8
    tracemalloc.start()
    try:
        make_folds(table, 5)
        assign_groups(
            labels, np.arange(images) // 1000, np.array([0.5, 0.5]), np.random.default_rng(0)
        )
        assert tracemalloc.get_traced_memory()[1] < dense_bytes / 4
    finally:
        tracemalloc.stop()
