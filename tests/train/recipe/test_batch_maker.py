"""Batches: traced once for trainings of one kind, and those of each training as if it were alone."""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
from tiny_recipe import tiny_data, tiny_donor

from efn_compose.train.augment import AugmentOptions
from efn_compose.train.objectives.classification import Classification
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.inputs import Inputs

pytestmark = pytest.mark.slow
TURNED = AugmentOptions(rotation=20)


def objective():
    return Classification(4, TrainOptions(batch_size=16, mixup=0.4))


def first_batch(inputs):
    return [part.numpy() for part in inputs.batch(inputs.order(0)[0][0], 0, 3, 16)]


def test_trainings_of_one_objective_share_a_trace_and_nothing_else():
    shared, seeds = objective(), (5, 3_000_000_019, 5)
    found = [first_batch(Inputs(tiny_data(), tiny_donor(), shared, TURNED, s)) for s in seeds]
    alone = [first_batch(Inputs(tiny_data(), tiny_donor(), objective(), TURNED, s)) for s in seeds]
    for batch, expected in zip(found, alone, strict=True):
        for part, wanted in zip(batch, expected, strict=True):
            np.testing.assert_array_equal(part, wanted)
    assert not np.array_equal(found[0][0], found[1][0])
    (function,) = shared.traced_batches.values()
    assert function.experimental_get_tracing_count() == 1


def test_other_augmentation_and_other_scaling_are_other_batches():
    shared, donor = objective(), tiny_donor()
    scaling = dataclasses.replace(donor.conventions.preprocessing, std=(2.0, 2.0, 2.0))
    conventions = dataclasses.replace(donor.conventions, preprocessing=scaling)
    other = dataclasses.replace(donor, conventions=conventions)
    still = AugmentOptions(flip_x=0)
    turned, mirrored, scaled = (
        first_batch(Inputs(tiny_data(), whose, shared, how, 5))[0]
        for whose, how in ((donor, TURNED), (donor, still), (other, still))
    )
    assert np.abs(turned - mirrored).max() > 0.1
    ratio = np.array(donor.conventions.preprocessing.std) / 2
    np.testing.assert_allclose(scaled, mirrored * ratio, rtol=1e-4, atol=1e-3)


def test_what_is_shared_holds_no_images():
    shared, data = objective(), tiny_data()
    first_batch(Inputs(data, tiny_donor(), shared, TURNED, 5))
    images = weakref.ref(data)
    del data
    gc.collect()
    assert images() is None and shared.traced_batches
