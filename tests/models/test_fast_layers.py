"""Fast layers against Keras' own: outputs, gradients, moving statistics, names of weights."""

import numpy as np
import pytest
import tensorflow as tf
from keras import config, layers

from efn_compose.arch import arch_spec, default_conventions
from efn_compose.models import build_model
from efn_compose.models.compiled_swish import CompiledSwish
from efn_compose.models.fast_layers import (
    FusedBatchNormalization,
    GateConvolution,
    fast_layers,
)


def _run(layer, x, training):
    """Return output, gradients and everything the layer keeps after one call."""

    @tf.function
    def call(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training) if training is not None else layer(x)
            loss = tf.reduce_sum(tf.sin(y))
        return y, tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    y, gradients = call(tf.constant(x, layer.compute_dtype))
    return [y.numpy(), *(g.numpy() for g in gradients), *(v.numpy() for v in layer.weights)]


def _exact(kind, x, training, values, **settings):
    """Return the same of Keras' layer in float64, where rounding is no matter."""
    before = config.dtype_policy()
    config.set_dtype_policy("float64")
    try:
        layer = kind(**settings)
        layer.build(x.shape)
    finally:
        config.set_dtype_policy(before)
    layer.set_weights(values)
    return _run(layer, x, training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (8, 1, 1, 3), (2, 1, 1, 3)])
def test_batch_normalisation_equals_keras(training, shape):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, shape)
    layer = FusedBatchNormalization(epsilon=1e-3, momentum=0.7)
    layer.build(shape)
    values = [rng.uniform(0.5, 1.5, 3) for _ in layer.weights]
    layer.set_weights(values)
    found = _run(layer, x, training)
    settings = {"epsilon": 1e-3, "momentum": 0.7}
    expected = _exact(layers.BatchNormalization, x, training, values, **settings)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_a_frozen_batch_normalisation_stays_as_it_is():
    x = np.random.default_rng(0).normal(3, 2, (4, 2, 2, 3))
    layer = FusedBatchNormalization()
    layer.build(x.shape)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x / np.sqrt(1.001), rtol=1e-4)
    assert not layer.moving_mean.numpy().any()


@pytest.mark.parametrize("shape", [(6, 1, 1, 5), (2, 3, 2, 5)])
def test_the_gates_convolution_equals_keras(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    layer = GateConvolution(4, 1)
    layer.build(shape)
    values = [rng.normal(size=v.shape) for v in layer.weights]
    layer.set_weights(values)
    expected = _exact(layers.Conv2D, x, None, values, filters=4, kernel_size=1)
    for a, b in zip(_run(layer, x, None), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_compiled_swish_equals_keras_and_small_images_keep_their_bits():
    x = np.random.default_rng(0).normal(0, 8, (2, 5, 4, 2)).astype(np.float32)
    x[0, 0, 0] = 120, -120  # where an exponential overflows
    found = _run(CompiledSwish("swish"), x, None)
    exact = _exact(layers.Activation, x, None, [], activation="swish")
    for a, b in zip(found, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert np.array_equal(CompiledSwish("relu")(tf.constant(x)), np.maximum(x, 0))
    chosen = [fast_layers(size).activation for size in (None, 64, 65)]
    assert chosen == [layers.Activation, layers.Activation, CompiledSwish]


@pytest.mark.slow
def test_a_network_of_them_has_the_weights_of_keras_network():
    spec = arch_spec("b-w0.1-d0.3")
    plain, fast = (
        build_model(
            spec, default_conventions(spec), classes=3, input_shape=(32, 32, 3), kinds=kinds
        )
        for kinds in (None, fast_layers(96))
    )
    for ours, theirs in zip(fast.weights, plain.weights, strict=True):
        assert (ours.path, ours.shape) == (theirs.path, theirs.shape)
    fast.set_weights(plain.get_weights())
    x = np.random.default_rng(0).normal(size=(4, 32, 32, 3))
    np.testing.assert_allclose(fast(x), plain(x), rtol=1e-4, atol=1e-5)
