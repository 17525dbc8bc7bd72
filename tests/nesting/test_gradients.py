"""Which new weights can learn: gradients of the Keras model after nesting."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from float64_networks import float64_donor, random_images

from efn_compose.models import model_variables
from efn_compose.nesting import FILLS, nest
from efn_compose.nesting.plan import plan_nesting, tensors_by_name

# Whichever test comes first builds the networks of all.
pytestmark = pytest.mark.slow

#: Pixels; the last maps are 3 x 3, so that every entry of a 5 x 5 filter meets one.
SIDE = 96
SMALL, LARGE = "b-w0.3-d0.3", "b-w0.5-d0.6"


@pytest.fixture(scope="module")
def dead_shares():
    """By fill, the share of new trainable weights without gradient at steps 0, 1 and 2."""
    images = random_images(8, SIDE).astype(np.float32)
    donor = float64_donor(SMALL, side=SIDE)
    labels = np.arange(8) % donor.classes
    model = None
    shares = {}
    for fill in FILLS:
        nested = nest(donor, LARGE, fill=fill)
        if model is None:
            model = nested.build(input_shape=(SIDE, SIDE, 3))
            variables = model_variables(model, nested.spec, donor.classes)
            new = _new_entries(donor, nested)
        for name, variable in variables.items():
            variable.assign(nested.tensors[name])
        shares[fill] = [_step(model, variables, new, images, labels) for _ in range(3)]
    return shares


def _new_entries(donor, nested):
    """Return a mask of the entries that hold nothing of the donor, by trainable tensor."""
    plan = plan_nesting([donor.spec], nested.spec, classes=donor.classes)
    masks = {}
    for name, tensor in tensors_by_name(nested.spec, donor.classes).items():
        if tensor.is_trainable:
            masks[name] = np.ones(tensor.shape, bool)
            for occupant in plan.occupants(tensor):
                if not occupant.is_copy:
                    masks[name][occupant.selector] = False
    return masks


def _step(model, variables, new, images, labels) -> float:
    """Take one step of SGD and return the share of new weights whose gradient was zero."""
    names = list(new)
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        )
    gradients = tape.gradient(loss, [variables[name].value for name in names])
    zero = total = 0
    for name, gradient in zip(names, gradients, strict=True):
        values = gradient.numpy()
        zero += int((values[new[name]] == 0).sum())
        total += int(new[name].sum())
        variables[name].assign_sub(0.01 * values)
    return zero / total


def test_after_he_nesting_nearly_every_new_weight_learns_from_step_1(dead_shares):
    step_0, step_1, _ = dead_shares["he"]
    assert step_1 < 0.05
    # Producers of channels that nobody reads yet wait for one step.
    assert 0.05 < step_0 < 0.8


def test_replicas_in_the_donors_repeats_learn_at_once(dead_shares):
    assert dead_shares["replicate"][0] < dead_shares["he"][0]
    assert dead_shares["replicate"][2] < 0.05


def test_after_zero_filling_most_new_weights_stay_dead(dead_shares):
    assert all(share > 0.5 for share in dead_shares["zero"])
