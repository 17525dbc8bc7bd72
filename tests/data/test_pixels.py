"""Images in memory and in the cache, used alike."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efn_compose.data.cache.images import cached_images
from efn_compose.data.holding import Holding
from efn_compose.data.pixels import JoinedImages, _shift_tables, crc_of, join, take

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 7, 7, 3), np.uint8)


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    return cached_images(PIXELS, np.arange(12), 7, folder=tmp_path_factory.mktemp("cache"))


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=60))
def test_a_crc_is_carried_over_any_length(before, after):
    tables = _shift_tables(len(after))
    crc = zlib.crc32(before)
    shifted = 0
    for place in range(4):
        shifted ^= tables[place][crc >> 8 * place & 255]
    assert shifted ^ zlib.crc32(after) == zlib.crc32(before + after)


def test_the_crc_of_all_images_is_that_of_their_bytes(cached):
    order = np.array([3, 3, 0, 11])
    truth = zlib.crc32(PIXELS[order].tobytes(), 77)
    assert crc_of(take(cached, order), 77) == crc_of(PIXELS[order], 77) == truth
    assert crc_of(join([take(cached, order[:1]), PIXELS[order[1:]]]), 77) == truth


@pytest.mark.parametrize(
    "key", [0, -1, slice(2, 9), np.array([8, 0, 0]), np.arange(14) > 5], ids=str
)
def test_joined_images_are_the_joined_arrays(cached, key):
    parts = [take(cached, np.array([5, 1])), PIXELS]
    truth = np.concatenate([PIXELS[[5, 1]], PIXELS])
    found = join(parts)
    assert isinstance(found, JoinedImages)
    assert (found.shape, found.dtype, found.ndim) == (truth.shape, truth.dtype, 4)
    assert found.nbytes == truth.nbytes
    assert np.array_equal(found[key], truth[key])
    numbers = np.array([13, 0, 2])
    found.expect(numbers)  # changes nothing
    assert np.array_equal(take(found, numbers)[:], truth[numbers])


def test_small_sets_and_sets_that_fit_are_held():
    gigabyte = int(1e9)
    for free, copies, size, is_cached in (
        (8 * gigabyte, 4, gigabyte, False),
        (8 * gigabyte, 5, gigabyte, True),
        (8 * gigabyte, 2, 4 * gigabyte, True),
        (gigabyte, 10, int(60e6), False),
    ):
        holding = Holding("auto", copies, free)
        assert holding.is_cached(size) == is_cached
        assert ("cache" in holding.words(size)) == is_cached
    assert Holding("cache", 1, free).is_cached(1) and not Holding("memory", 9, 1).is_cached(10**12)
    assert "as executor.images says" in Holding("cache", 1, free).words(1)
