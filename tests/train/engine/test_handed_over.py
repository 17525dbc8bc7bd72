"""Tensors that take over the memory of arrays: the same bits, alive as long as they are."""

import gc

import numpy as np
import pytest
import tensorflow as tf

from efn_compose.data.pixels import JoinedImages
from efn_compose.numerics.pixel_array import aligned_pixels, gathered
from efn_compose.train.engine.handed_over import handed_over


def images_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 5, 3), np.uint8)


def is_shared(tensor, array):
    """Return whether a tensor changes with an array, which is spoilt."""
    before = int(tensor[0, 0, 0, 0])
    array[0, 0, 0, 0] = 255 - before
    return int(tensor[0, 0, 0, 0]) != before


@pytest.mark.parametrize("joined", [False, True])
def test_chosen_images_reach_a_tensor_with_one_copy(joined):
    images, numbers = images_of(9), np.array([8, 0, 3, 3])
    source = JoinedImages([images[:4], images[4:]]) if joined else images
    found = gathered(source, numbers)
    tensor = handed_over(found)
    assert np.array_equal(tensor.numpy(), images[numbers])
    assert is_shared(tensor, found)
    assert np.array_equal(images, images_of(9))
    with pytest.raises(IndexError):
        gathered(source, np.array([9]))


def test_arrays_that_tensorflow_would_copy_are_copied():
    whole = aligned_pixels((3, 8, 8, 3))
    whole[...] = 7
    read_only = whole[:]
    read_only.flags.writeable = False
    # The second image begins at a multiple of 64 bytes, its second row does not.
    for array in (whole[:, 1:], whole[1:, :, ::-1], read_only):
        tensor = handed_over(array)
        assert np.array_equal(tensor.numpy(), array)
        assert not is_shared(tensor, whole)
        whole[...] = 7
    assert handed_over(whole[:0]).shape == (0, 8, 8, 3)


def test_a_tensor_keeps_its_memory_when_the_array_is_gone():
    tensors = [handed_over(gathered(images_of(40, seed), np.arange(40))) for seed in range(20)]
    gc.collect()
    for seed, tensor in enumerate(tensors):
        assert np.array_equal(tensor.numpy(), images_of(40, seed))
    doubled = tf.function(lambda x: tf.cast(x, tf.int32) * 2)(tensors[3])
    del tensors
    assert np.array_equal(doubled.numpy(), images_of(40, 3) * np.int32(2))
