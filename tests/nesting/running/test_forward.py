"""The numpy forward pass against the Keras model, one nano network per wiring."""

import keras
import numpy as np
import pytest
from float64_networks import float64_donor, logits_of, random_images, relative_difference
from random_donors import two_repeats

from efn_compose.nesting import nest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "side", "padding"),
    [
        ("b-w0.3-d0.3", 33, "same"),
        (two_repeats("b-w0.3-d1.1"), 32, "symmetric"),
        ("lite-w0.25-d0.3", 33, "symmetric"),
        (two_repeats("v2-b-w0.4-d1.1"), 32, "same"),
        ("edge-w0.3-d0.3", 33, "same"),
    ],
)
def test_numpy_and_keras_compute_the_same_logits(variant, side, padding):
    images = random_images(side=side)
    donor = float64_donor(variant, side=side, padding=padding)
    # Both: a policy that was ever set outweighs floatx.
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = donor.build(input_shape=(side, side, 3))
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    assert relative_difference(logits_of(donor, images), expected) < 1e-9


@pytest.mark.slow
def test_nested_keras_model_keeps_the_donors_logits_in_training_mode():
    images = random_images(side=32).astype(np.float32)
    donor = float64_donor("b-w0.3-d0.3", side=32)
    nested = nest(donor, "b-w0.4-d0.6")
    expected = logits_of(donor, images, training=True)
    model = nested.build(input_shape=(32, 32, 3))
    # The dropout before the classifier is the only random layer; without it training is exact.
    features = keras.Model(model.input, model.get_layer("pool").output)
    pooled = keras.ops.convert_to_numpy(features(images, training=True))
    kernel, bias = (nested.tensors[f"predictions/{role}"] for role in ("kernel", "bias"))
    assert relative_difference(pooled @ kernel + bias, expected) < 1e-3
