"""Folds: an ISIC-like table against the best known column, brute force, and what cannot be cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from efn_compose.data.folding.duplicates import (
    contradiction_notes,
    equal_across,
    pixel_digests,
    similar_across,
)
from efn_compose.data.folding.fold_quality import kolmogorov_distance, measure_folds
from efn_compose.data.folding.folds import make_folds
from efn_compose.data.table import UNLABELLED, ImageTable
from efn_compose.errors import DataError


def isic_like(seed: int, images: int = 30_000, patients: int = 2_000) -> ImageTable:
    """Return labels and patients: sizes log-normal, positives clustered in few patients."""
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(0, 0.9, patients)
    groups = np.sort(rng.choice(patients, images, p=weights / weights.sum())).astype(np.int32)
    risk = rng.gamma(0.3, 1.0, patients)[groups]
    positive = rng.choice(images, round(0.018 * images), replace=False, p=risk / risk.sum())
    labels = np.zeros(images, np.int32)
    labels[positive] = 1
    pixels = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (images, 1, 1, 3))
    return ImageTable(pixels, labels, ("benign", "malignant"), "isic-like", groups)


def table_of(labels: list[int], groups: list[int] | None, classes: int) -> ImageTable:
    pixels = np.zeros((len(labels), 1, 1, 3), np.uint8)
    patients = None if groups is None else np.array(groups, np.int32)
    names = tuple(str(number) for number in range(classes))
    return ImageTable(pixels, np.array(labels, np.int32), names, "table", patients)


def test_all_three_balances_beat_the_best_known_method():
    rates, positives, distances = [], [], []
    for seed in range(5):
        table = isic_like(seed)
        folds = make_folds(table, 5, seed=seed)
        # Measured here by other means than the product's own table.
        patients = [set(table.groups[folds.fold == number]) for number in range(5)]
        assert sum(map(len, patients)) == len(set(table.groups))
        members = [folds.fold == number for number in range(5)]
        rate = [table.labels[member].mean() for member in members]
        positive = [len(set(table.groups[m & (table.labels == 1)])) for m in members]
        sizes = [np.unique(table.groups[m], return_counts=True)[1] for m in members]
        rest = [np.unique(table.groups[~m], return_counts=True)[1] for m in members]
        rates.append(np.std(rate) / np.mean(rate))
        positives.append(np.std(positive) / np.mean(positive))
        distances.append(max(ks_2samp(a, b).statistic for a, b in zip(sizes, rest, strict=True)))
        assert folds.quality.size_distance == pytest.approx(distances[-1])
        assert max(folds.quality.rate_variation) == pytest.approx(rates[-1])
    print(
        "rate", np.mean(rates), "positive patients", np.mean(positives), "sizes", np.mean(distances)
    )
    assert np.mean(rates) <= 0.007
    assert np.mean(positives) <= 0.005
    assert np.mean(distances) <= 0.007


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=8, max_size=60))
def test_no_patient_is_ever_in_two_folds_and_every_class_in_each_or_it_is_refused(rows):
    table = table_of([label for label, _ in rows], [group for _, group in rows], 3)
    try:
        folds = make_folds(table, 3)
    except DataError:
        return
    for group in set(table.groups):
        assert len(set(folds.fold[table.groups == group])) == 1
    for number in range(3):
        train, validation = folds.parts(number)
        assert set(table.labels[validation]) == {0, 1, 2}
        assert sorted([*train, *validation]) == list(range(len(rows)))


@pytest.mark.parametrize("seed", range(30))
def test_rare_classes_are_in_every_fold_wherever_folds_exist_that_have_them(seed):
    # Planted: of every rare class each of the five folds has one patient, so that a solution exists.
    rng = np.random.default_rng(seed)
    patients = int(rng.integers(10, 30))
    home = rng.permutation(np.arange(patients) % 5)
    rows = [(patient, int(label)) for patient in range(patients) for label in rng.integers(0, 2, 3)]
    rows += [
        (int(rng.choice(np.flatnonzero(home == fold))), label)
        for label in range(2, 5)
        for fold in range(5)
    ]
    groups, labels = zip(*rows, strict=True)
    table = table_of(list(labels), list(groups), 5)
    folds = make_folds(table, 5)
    for number in range(5):
        assert set(table.labels[folds.fold == number]) == set(range(5))
    assert all(len(set(folds.fold[table.groups == patient])) == 1 for patient in range(patients))


def test_rare_classes_that_no_two_folds_can_hold_are_refused():
    # Three patients, each with two of three classes: a triangle cannot be coloured in two colours.
    labels, groups = [0, 1, 1, 2, 0, 2, 0, 0], [0, 0, 1, 1, 2, 2, 0, 2]
    with pytest.raises(DataError, match=r"(?s)has no image of .*fewer folds, or merge rare"):
        make_folds(table_of(labels, groups, 3), 2)


def test_the_seed_decides_and_equal_seeds_agree():
    table = isic_like(0, images=600, patients=100)
    one, two, other = (make_folds(table, 3, seed=seed).fold for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_rare_classes_and_bad_quality_are_refused_with_the_reason():
    with pytest.raises(DataError, match="class '1' is in 1 patient; 3 folds need 3"):
        make_folds(table_of([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 3, 3], 2), 3)
    with pytest.raises(DataError, match="at least 2"):
        make_folds(table_of([0] * 6, None, 1), 3)
    with pytest.raises(DataError, match="class '2' is in 0 images"):
        make_folds(table_of([0, 1] * 5, None, 3), 3)
    with pytest.raises(
        DataError, match=r"(?s)'9' is in 2 .*… and 20 more.* at most 2 folds"
    ) as many:
        make_folds(table_of([*range(30), *range(30)], None, 30), 5)
    assert str(many.value).count("folds need 5") == 10
    uneven = table_of([0] * 50 + [1] * 10, [0] * 40 + list(range(1, 21)), 2)
    with pytest.raises(DataError, match=r"share varies by(.|\n)*fold  images"):
        make_folds(uneven, 3, worst_rate=0.01)


def test_of_many_classes_a_fold_shows_the_rarest_and_the_most_frequent():
    labels = [*list(range(30)) * 4, 7, 7]
    lines = str(make_folds(table_of(labels, None, 30), 2).quality).splitlines()
    for line in lines[1:3]:
        assert "30 classes:  0 3.28%  to  7 4.92%" in line


def test_patients_are_shown_where_one_has_several_images():
    labels = [0, 1] * 6
    alone, shared = (
        str(make_folds(table_of(labels, groups, 2), 2).quality)
        for groups in (None, [n // 4 for n in range(12)])
    )
    assert "patient" not in alone
    assert "0 50.00%  1 50.00%" in alone
    assert "0 50.00% / 1  1 50.00% / 1" in shared, "one of three patients is alone in a fold"
    assert "images per patient, Kolmogorov distance 0.0000" in shared


def test_leaks_and_empty_classes_of_any_folds_are_reported():
    quality = measure_folds(
        np.array([0, 1, 0, 0]), np.array([7, 7, 8, 9]), np.array([0, 1, 1, 0]), ("a", "b")
    )
    assert quality.leaked == 1
    assert quality.problems() == [
        "- 1 patients are in more than one fold",
        "- fold 0 has no image of b",
    ]


# Its p-values, which nobody asked for, cannot be had for all.
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
)
def test_kolmogorov_distance_is_scipys(one, other):
    ours = kolmogorov_distance(np.array(one), np.array(other))
    assert ours == pytest.approx(ks_2samp(one, other).statistic)


def test_equal_images_of_different_classes_are_named():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (7, 4, 4, 3), dtype=np.uint8)
    # 0 and 2 are a cat and a dog, 1 and 3 both cats, 4 has no label, 5 and 6 are a dog and a cat.
    images[2], images[3], images[4], images[6] = images[0], images[1], images[1], images[5]
    labels = np.array([0, 0, 1, 0, UNLABELLED, 1, 0], np.int32)
    table = ImageTable(images, labels, ("cat", "dog"), "seven")
    (said,) = contradiction_notes(table, pixel_digests(images))
    assert said == "2 images equal one of another class: 0 (cat) and 2 (dog); 5 (dog) and 6 (cat)"
    table = table.chosen(np.array([0, 1, 3, 4]))
    assert contradiction_notes(table, pixel_digests(table.images)) == []


def test_duplicates_are_found_across_parts_only():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (6, 4, 4, 3), dtype=np.uint8)
    images[4], images[1] = images[0], images[5]
    part = np.array([0, 0, 1, 1, 1, 0])
    assert [(d.first, d.second) for d in equal_across(pixel_digests(images), part)] == [(0, 4)]
    vectors = rng.normal(size=(3000, 16)) + 5
    vectors[2900] = vectors[10] + rng.normal(size=16) * 0.02
    vectors[20] = vectors[10]
    part = np.arange(3000) // 1500
    pairs = [(d.first, d.second) for d in similar_across(vectors, part)]
    # Brute force, pair by pair.
    centred = vectors - vectors.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    rows, columns = np.nonzero(np.triu(unit @ unit.T >= 0.98, 1))
    wanted = {(r, c) for r, c in zip(rows, columns, strict=True) if part[r] != part[c]}
    assert set(pairs) == wanted and (10, 2900) in wanted
