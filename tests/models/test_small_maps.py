"""The fast filter gradient equals TensorFlow's own, and the layer equals Keras'."""

import numpy as np
import pytest
import tensorflow as tf
from keras import config, layers

from efn_compose.arch import arch_spec, default_conventions
from efn_compose.models import build_model
from efn_compose.models.fast_layers import LayerKinds
from efn_compose.models.small_maps import SmallMapDepthwise, filter_gradient


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(("stride", "padding"), [(1, "SAME"), (2, "SAME"), (2, "VALID")])
@pytest.mark.parametrize("shape", [(8, 1, 1, 6), (4, 2, 2, 5), (3, 1, 3, 4), (2, 7, 6, 3)])
def test_filter_gradient_equals_the_operator(size, stride, padding, shape):
    if padding == "VALID":
        shape = (shape[0], shape[1] + size - 1, shape[2] + size - 1, shape[3])
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=shape), tf.float32)
    kernel = tf.zeros((size, size, shape[-1], 1))
    out = tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), padding).shape
    dy = tf.constant(rng.normal(size=out), tf.float32)
    expected = tf.nn.depthwise_conv2d_backprop_filter(
        x, kernel.shape, dy, (1, stride, stride, 1), padding
    )
    found = filter_gradient(x, dy, size, stride, padding)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (2, 1), (3, 1), (6, 1), (2, 2), (4, 2)])
def test_the_layer_and_its_gradients_equal_keras(side, stride):
    rng = np.random.default_rng(1)
    x = tf.Variable(rng.normal(size=(4, side, side, 3)), dtype=tf.float32)
    results = []
    for kind in (layers.DepthwiseConv2D, SmallMapDepthwise):
        layer = kind(5, strides=stride, padding="same", use_bias=False)
        layer.build(x.shape)
        layer.kernel.assign(np.linspace(-1, 1, 75).reshape(5, 5, 3, 1))

        @tf.function
        def run(layer=layer):
            value = tf.identity(x)
            with tf.GradientTape() as tape:
                tape.watch(value)
                y = layer(value)
                loss = tf.reduce_sum(y**3)
            return y, *tape.gradient(loss, [value, layer.kernel.value])

        results.append(run())
    for expected, found in zip(*results, strict=True):
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


def _losses_of_training(kind, weights, pixels, labels):
    """Return the loss of every step of plain gradient descent in float64."""
    spec = arch_spec("lite-w0.25-d0.3")
    model = build_model(
        spec,
        default_conventions(spec),
        input_shape=(32, 32, 3),
        classes=3,
        dropout=0.0,
        kinds=LayerKinds(kind),
    )
    weights = weights or [variable.numpy() for variable in model.weights]
    model.set_weights(weights)
    trained = [variable.value for variable in model.trainable_variables]

    @tf.function
    def step(batch, target):
        with tf.GradientTape() as tape:
            logits = model(batch, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
            loss = tf.reduce_mean(losses)
        for variable, gradient in zip(trained, tape.gradient(loss, trained), strict=True):
            variable.assign_sub(0.01 * gradient)
        return loss

    return [float(step(*both)) for both in zip(pixels, labels, strict=True)], weights


@pytest.mark.slow
def test_it_trains_the_same_network_where_rounding_is_small():
    """In float32 the two part after a few steps as any two orders of a sum do; in float64 they do not."""
    rng = np.random.default_rng(2)
    pixels, labels = rng.normal(size=(5, 8, 32, 32, 3)), rng.integers(0, 3, (5, 8))
    before = config.dtype_policy()
    config.set_dtype_policy("float64")
    try:
        expected, weights = _losses_of_training(layers.DepthwiseConv2D, None, pixels, labels)
        found, _ = _losses_of_training(SmallMapDepthwise, weights, pixels, labels)
    finally:
        config.set_dtype_policy(before)
    assert len(set(expected)) == 5
    np.testing.assert_allclose(found, expected, rtol=1e-10)
