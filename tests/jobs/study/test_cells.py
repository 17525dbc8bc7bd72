"""Images that the scores without training look at."""

import numpy as np

from efn_compose.jobs.study.cells import FREE_IMAGES, free_numbers


def test_classes_come_in_proportion_from_a_folder_that_is_sorted_by_class():
    counts = np.array([1500, 30, 400, 70])
    for labels in (np.repeat(np.arange(4), counts), np.repeat(np.arange(4), counts)[::-1]):
        train = np.flatnonzero(np.arange(len(labels)) % 5)
        chosen = free_numbers(labels, train)
        assert len(chosen) == len(set(chosen)) == FREE_IMAGES and set(chosen) <= set(train)
        wanted = np.bincount(labels[train]) / len(train) * FREE_IMAGES
        assert np.abs(np.bincount(labels[chosen], minlength=4) - wanted).max() <= 1.5


def test_few_images_are_all_taken_in_their_order():
    assert free_numbers(np.array([1, 0, 1, 0, 2]), np.array([0, 1, 4])).tolist() == [0, 1, 4]
