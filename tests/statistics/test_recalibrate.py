"""Re-estimated statistics against those computed from feature maps, layer by layer."""

import keras
import numpy as np
import pytest
from random_donors import photo_like, random_donor

from efn_compose.errors import DataError
from efn_compose.models import build_model, model_variables
from efn_compose.statistics.recalibrate import recalibrate
from efn_compose.statistics.repair import repair

DONOR = random_donor("b-w0.1-d0.3")
INPUTS = DONOR.preprocess(photo_like(24, 33, seed=4))


@pytest.fixture(scope="module")
def model():
    return build_model(
        DONOR.spec, DONOR.conventions, input_shape=(33, 33, 3), classes=7, dropout=0.5, drop_connect=0.5
    )  # fmt: skip


def reset(model):
    variables = model_variables(model, DONOR.spec, 7)
    for name, variable in variables.items():
        variable.assign(DONOR.tensors[name])
    return variables


@pytest.mark.slow
def test_one_batch_equals_the_layerwise_repair_without_keras(model):
    variables = reset(model)
    for layer in model.layers:
        layer.trainable = False
    variables["stem_bn/moving_mean"].assign(np.full(8, np.nan))
    recalibrate(model, INPUTS, batch_size=24)
    assert not any(layer.trainable for layer in model.layers if layer.weights)
    for layer in model.layers:
        layer.trainable = True
    expected = repair(DONOR.spec, DONOR.conventions, DONOR.tensors, INPUTS)
    for name, variable in variables.items():
        found = np.asarray(variable)
        if "moving" in name:
            assert np.abs(found - expected[name]).max() < 2e-3 * np.abs(expected[name]).max(), name
        else:
            np.testing.assert_array_equal(found, DONOR.tensors[name])
    rates = {layer.name: layer.rate for layer in model.layers if hasattr(layer, "rate")}
    assert rates["dropout"] == 0.5 and len(rates) > 1
    assert model.get_layer("stem_bn").momentum == DONOR.conventions.bn_momentum


@pytest.mark.slow
def test_batches_count_the_spread_between_them(model):
    """The stem sees the images only, so its statistics do not depend on the batches."""
    variables = reset(model)
    order = np.argsort(INPUTS.mean(axis=(1, 2, 3)))  # batches differ as much as they can
    recalibrate(model, INPUTS[order], batch_size=6)
    expected = repair(DONOR.spec, DONOR.conventions, DONOR.tensors, INPUTS)
    for role in ("moving_mean", "moving_variance"):
        found = np.asarray(variables[f"stem_bn/{role}"])
        np.testing.assert_allclose(found, expected[f"stem_bn/{role}"], rtol=1e-3, atol=1e-5)


def test_one_image_is_refused(model):
    with pytest.raises(DataError, match="at least two images"):
        recalibrate(model, INPUTS[:1])


def test_a_network_without_batch_norm_is_not_asked():
    """Such as a study's network of another library: the pass would change nothing."""
    pixels = keras.Input((4, 4, 3))
    plain = keras.Model(pixels, keras.layers.Dropout(0.5)(pixels))
    recalibrate(plain, INPUTS, forward=lambda batch: pytest.fail("an image passed"))
