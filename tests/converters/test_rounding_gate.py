"""`--verify` judges the conversion: a library whose own float32 is far from its float64 is no fault."""

import numpy as np
import pytest
from random_donors import random_donor

from converters.oracles import Oracle
from converters.reading.verification import FLOAT32_GATE, keras_check, smooth_images


@pytest.fixture(scope="module")
def donor():
    return random_donor("b-w0.1-d0.3", classes=4)


@pytest.fixture(scope="module")
def images(donor):
    return donor.preprocess(smooth_images(2, (64, 64))).astype(np.float64)


def library(donor, noise):
    """A source library that computes the donor's network, with a rounding of its own in float32."""
    from efn_compose.models.stepwise import StepwiseNetwork

    def run(images, dtype):
        logits = StepwiseNetwork.of(donor, "float64").run(images.astype(np.float64)).numpy()
        if dtype == "float32":
            rounding = np.random.default_rng(0).normal(size=logits.shape)
            logits = logits + noise * logits.std() * rounding
        return logits

    return Oracle("library 1.0", run)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 1e-3, 1e-2])
def test_a_right_conversion_passes_whatever_the_librarys_rounding(donor, images, noise):
    check = keras_check(donor, library(donor, noise), images)
    assert check.passed and check.gate >= FLOAT32_GATE


@pytest.mark.slow
def test_an_exact_library_keeps_the_gate_and_a_wrong_conversion_fails(donor, images):
    tensors = dict(donor.tensors)
    tensors["predictions/kernel"] = tensors["predictions/kernel"] * np.float32(1.01)
    check = keras_check(donor.replace(tensors=tensors), library(donor, 0.0), images)
    assert check.gate == FLOAT32_GATE and not check.passed
