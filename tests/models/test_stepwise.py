"""The stepwise walk computes what the Keras model computes, for every wiring."""

import numpy as np
import pytest
from random_donors import NANO_VARIANTS, photo_like, random_donor

from efn_compose.models.stepwise import StepwiseNetwork


@pytest.mark.slow
@pytest.mark.parametrize("variant", [*NANO_VARIANTS, "edge-w0.25-d0.3"])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_walk_equals_keras_model(variant, padding):
    donor = random_donor(variant, padding=padding, images=photo_like(48, side=33, seed=1000))
    images = photo_like(5, side=33, seed=3)
    inputs = donor.preprocess(images)
    expected = np.asarray(donor.build(input_shape=(33, 33, 3))(inputs))
    found = StepwiseNetwork.of(donor).predict(inputs, batch_size=2)
    assert expected.std() > 0.05
    # Random deep nets amplify float32 rounding; a wiring error is of the order of 1.
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())
