"""Adam that makes a step's size once against Keras' own, which makes it for each variable."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from efn_compose.train.recipe.optimizers.shared_adam import SharedAdam, SharedAdamW

# Whichever test comes first imports TensorFlow.
pytestmark = pytest.mark.slow

SHAPES = ((3, 3, 8, 24), (24,), (5,), ())


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        (SharedAdam, keras.optimizers.Adam, {}),
        (SharedAdam, keras.optimizers.Adam, {"beta_1": 0.8, "epsilon": 1e-3, "clipnorm": 0.5}),
        (SharedAdam, keras.optimizers.Adam, {"amsgrad": True}),
        (SharedAdamW, keras.optimizers.AdamW, {"weight_decay": 0.1}),
    ],
)
def test_every_bit_is_that_of_keras(ours, theirs, settings):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
    kept = [[keras.Variable(values) for values in start] for _ in range(2)]
    optimizers = [kind(0.02, **settings) for kind in (ours, theirs)]
    for optimizer, variables in zip(optimizers, kept, strict=True):
        optimizer.build(variables)

    @tf.function(autograph=False)
    def update(gradients):
        for optimizer, variables in zip(optimizers, kept, strict=True):
            optimizer.apply(gradients, variables)

    for number in range(20):
        gradients = [
            tf.constant(rng.normal(size=shape) * 10.0**-number, tf.float32) for shape in SHAPES
        ]
        for optimizer in optimizers:
            optimizer.learning_rate = 0.02 / (number + 1)
        update(gradients)
    for own, other in zip(optimizers[0].variables, optimizers[1].variables, strict=True):
        np.testing.assert_array_equal(own.numpy(), other.numpy())
    for own, other, before in zip(*kept, start, strict=True):
        np.testing.assert_array_equal(own.numpy(), other.numpy())
        assert (own.numpy() != before).all()
