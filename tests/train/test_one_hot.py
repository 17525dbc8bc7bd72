"""Labels as shares per class: rows of an identity matrix, made when they are asked for."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efn_compose.data.pixels import crc_of
from efn_compose.train.examples import TrainingData
from efn_compose.train.one_hot import OneHot


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=40), st.data())
def test_rows_are_those_of_an_identity_matrix(labels, data):
    labels = np.array(labels)
    # The last row, for -1, is all 0.
    dense = np.concatenate([np.eye(5), np.zeros((1, 5))]).astype(np.float32)[labels]
    shares = OneHot(labels, 5)
    assert (shares.shape, shares.dtype, shares.nbytes) == (dense.shape, dense.dtype, dense.nbytes)
    numbers = np.array(data.draw(st.lists(st.integers(0, len(labels) - 1), max_size=9)), np.int64)
    for key in (numbers, numbers.reshape(1, -1), slice(1, None, 2), labels > 1, len(labels) - 1):
        np.testing.assert_array_equal(shares[key], dense[key])
    np.testing.assert_array_equal(np.asarray(shares), dense)
    np.testing.assert_array_equal(shares.mean(axis=0), dense.mean(axis=0))
    # What a training is known by stays what it was.
    assert crc_of(shares) == crc_of(dense)


def test_a_million_images_of_a_thousand_classes_are_not_four_gigabytes():
    labels = np.arange(1_000_000, dtype=np.int32) % 1000
    pixels = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (len(labels), 1, 1, 3))
    data = TrainingData(tuple(map(str, range(1000))), pixels, labels, pixels[:0], labels[:0])
    tracemalloc.start()
    try:
        targets = data.targets
        assert targets[np.array([5, 1005, 6])].argmax(axis=1).tolist() == [5, 5, 6]
        assert targets.mean(axis=0) == pytest.approx(np.full(1000, 0.001))
        assert data.unlabelled("train") == 0
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
