"""The fast filter gradient equals TensorFlow's own, and the layer equals Keras'."""

import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from efn_compose.models.small_maps import SmallMapDepthwise, filter_gradient


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("shape", [(8, 1, 1, 6), (4, 2, 2, 5), (3, 1, 3, 4), (2, 4, 5, 3)])
def test_filter_gradient_equals_the_operator(size, shape):
    rng = np.random.default_rng(0)
    x, dy = (tf.constant(rng.normal(size=shape), tf.float32) for _ in range(2))
    expected = tf.nn.depthwise_conv2d_backprop_filter(
        x, (size, size, shape[-1], 1), dy, (1, 1, 1, 1), "SAME"
    )
    found = filter_gradient(x, dy, size)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("side", "stride"), [(1, 1), (2, 1), (3, 1), (6, 1), (4, 2)])
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
