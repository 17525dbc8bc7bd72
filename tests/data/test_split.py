"""Splits: exact counts, class shares, patients, and errors that name their cause."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from efn_compose.data import DataOptions, ImageTable, Split, load_table, split, take_data
from efn_compose.data.split import part_counts
from efn_compose.errors import DataError


def table_of(labels, groups=None, class_names=None) -> ImageTable:
    labels = np.asarray(labels, np.int32)
    names = class_names or tuple(f"c{n}" for n in range(int(labels.max()) + 1))
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    groups = None if groups is None else np.asarray(groups, np.int32)
    return ImageTable(images, labels, names, "table", groups)


def options(train=0, validation=0, test=0) -> DataOptions:
    return DataOptions(train_images=train, validation_images=validation, test_images=test)


def parts_of(result: Split) -> list[np.ndarray]:
    return [result.train, result.validation, result.test]


@settings(max_examples=60, deadline=None)
@given(
    class_sizes=st.lists(st.integers(3, 60), min_size=2, max_size=6),
    fractions=st.tuples(*[st.floats(0.05, 0.33)] * 3),
    seed=st.integers(0, 2**32),
)
def test_parts_are_disjoint_exact_and_stratified(class_sizes, fractions, seed):
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)
    k, total = len(class_sizes), len(labels)
    counts = [max(k, int(total * fraction)) for fraction in fractions]
    result = split(table_of(labels), options(*counts), seed)
    together = np.concatenate(parts_of(result))
    assert len(set(together.tolist())) == len(together) == sum(counts)
    for part, count in zip(parts_of(result), counts, strict=True):
        assert len(part) == count
        got = np.bincount(labels[part], minlength=k)
        assert got.min() >= 1
        # Where no class is so small that the floor of one image bends the shares,
        # each is its share to within one image (and what the earlier parts rounded away).
        ideal = count * np.array(class_sizes) / total
        if ideal.min() >= 1 and min(class_sizes) > 12:
            assert np.abs(got - ideal).max() <= 2


def test_zero_means_60_20_20():
    result = split(load_table("digits"), options(), seed=3)
    assert [len(part) for part in parts_of(result)] == [1079, 359, 359]
    some = split(load_table("digits"), options(train=320), seed=3)
    assert [len(part) for part in parts_of(some)] == [320, 359, 359]


def test_more_training_images_leave_the_test_part_as_it_was():
    table = load_table("digits")
    few, many = (split(table, options(n, 400, 500), seed=1) for n in (100, 800))
    np.testing.assert_array_equal(few.test, many.test)
    np.testing.assert_array_equal(few.validation, many.validation)


def test_with_patients_a_count_of_zero_is_its_share_whatever_the_others_are():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), 10)
    table = table_of(rng.integers(0, 2, 2000), groups)
    splits = [split(table, options(train=n), seed=1) for n in (0, 100, 400)]
    for found in splits:
        # Whole patients of ten images each.
        assert abs(len(found.validation) - 400) <= 20 and abs(len(found.test) - 400) <= 20
        np.testing.assert_array_equal(np.sort(found.test), np.sort(splits[0].test))
    assert [len(found.train) for found in splits[1:]] == [100, 400]


def test_the_seed_decides_and_the_order_is_mixed():
    table = table_of(np.repeat([0, 1], 100))
    assert split(table, options(), 5) == split(table, options(), 5)
    assert split(table, options(), 5) != split(table, options(), 6)
    # A prefix of the training part holds both classes: siblings are trained on such prefixes.
    prefix = table.labels[split(table, options(), 5).train[:30]]
    assert 5 < prefix.sum() < 25


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), wanted=st.sampled_from([(0, 0, 0), (40, 0, 20), (60, 25, 25)]))
def test_no_patient_is_in_two_parts(seed, wanted):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 40, 240)
    labels = rng.integers(0, 3, 240)
    result = split(table_of(labels, groups), options(*wanted), seed)
    for one, other in itertools.combinations(parts_of(result), 2):
        assert not set(groups[one]) & set(groups[other])
    for part, count in zip(parts_of(result), wanted, strict=True):
        assert len(set(labels[part])) == 3
        assert not count or len(part) == count


def share_error(labels, parts) -> float:
    """Largest relative difference of a part's class count from its share by part size 60/20/20."""
    sizes = np.bincount(labels)
    worst = 0.0
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        got = np.bincount(labels[part], minlength=len(sizes))
        worst = max(worst, float(np.abs(got / (sizes * share) - 1).max()))
    return worst


def test_patient_split_is_as_even_as_scikit_learns():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        # Patients with their own leanings, sizes from 1 to 40, one rare class.
        groups = np.repeat(np.arange(80), rng.integers(1, 40, 80))
        leaning = rng.dirichlet([0.8, 0.5, 0.1], 80)
        labels = np.array([rng.choice(3, p=leaning[group]) for group in groups])
        ours = parts_of(split(table_of(labels, groups), options(), seed))
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        tests = [test for _, test in folds.split(labels, labels, groups)]
        theirs = [np.concatenate(tests[:3]), tests[3], tests[4]]
        assert share_error(labels, ours) <= share_error(labels, theirs)


def test_the_only_possible_patient_split_is_found():
    """Three patients have class 1; brute force over all assignments says where they must go."""
    groups = np.repeat(np.arange(9), 4)
    labels = np.zeros(36, int)
    labels[[0, 4, 8]] = 1
    result = split(table_of(labels, groups), options(), seed=1)
    for part in parts_of(result):
        assert labels[part].sum() == 1


def test_json_round_trip_and_refusals():
    result = split(load_table("digits"), options(100, 100, 100), seed=1)
    assert Split.from_json(result.to_json()) == result
    for text in (
        "",
        "[]",
        '{"train": [1], "validation": [2]}',
        '{"train": [1], "validation": [1], "test": [2]}',
        '{"train": [-1], "validation": [1], "test": [2]}',
        '{"train": [[1]], "validation": [[0]], "test": [[2]]}',
        '{"train": ["x"], "validation": [1], "test": [2]}',
    ):
        with pytest.raises(DataError):
            Split.from_json(text)


def test_a_split_of_other_data_is_refused():
    result = Split(*(np.array([n]) for n in (1, 2, 99)))
    with pytest.raises(DataError, match="image 99"):
        take_data(table_of([0, 1, 0, 1]), result, 4)


def test_a_class_with_one_image_is_named():
    table = table_of([0] * 30 + [1] * 30 + [2], class_names=("cat", "dog", "axolotl"))
    with pytest.raises(DataError) as caught:
        split(table, options(), 1)
    assert "'axolotl' has 1 image;" in str(caught.value)
    assert "cat" not in str(caught.value)


def test_all_problems_come_at_once():
    table = table_of(
        [0] * 30 + [1] * 30 + [2, 2],
        class_names=("cat", "dog", "axolotl"),
        groups=[7] * 30 + [8] * 32,
    )
    with pytest.raises(DataError) as caught:
        split(table, options(100, 2, 5), 1)
    message = str(caught.value)
    assert "62 images, but 107 asked for" in message
    assert "validation: 2 images asked for, but 3 classes" in message
    assert "'axolotl' has 2 images" in message
    assert "'cat' is in 1 patient" in message
    assert "'dog' is in 1 patient" in message


def test_hundreds_of_rare_classes_do_not_fill_the_terminal():
    table = table_of(list(range(300)), class_names=tuple(f"kind{n}" for n in range(300)))
    with pytest.raises(DataError) as caught:
        split(table, options(), 1)
    assert len(str(caught.value).splitlines()) < 20
    assert "290 more" in str(caught.value)


def test_asking_for_what_a_part_would_get_anyway_is_never_too_much():
    for total, part in itertools.product(range(15, 40), range(3)):
        shares = part_counts(total, (0, 0, 0))
        wanted = tuple(share if number == part else 0 for number, share in enumerate(shares))
        counts = part_counts(total, wanted)
        assert counts[part] == shares[part]
        assert sum(counts) <= total


def test_three_images_of_each_of_many_classes_can_be_split():
    found = split(table_of(list(range(50)) * 3), options(), 1)
    for part in (found.train, found.validation, found.test):
        assert sorted(part % 50) == list(range(50))


def test_one_class_is_refused():
    with pytest.raises(DataError, match="1 class; at least 2"):
        split(table_of([0] * 30), options(), 1)


def test_patients_that_cannot_fill_a_part_are_reported():
    labels = [0, 1] * 30
    table = table_of(labels, groups=np.repeat(np.arange(3), 20))
    with pytest.raises(DataError, match=r"train: 35 images asked for, whole patients give 20"):
        split(table, options(35, 5, 5), 1)
