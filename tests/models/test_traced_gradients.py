"""A traced network can be freed whatever custom gradients it has."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from random_donors import TINY
from tensorflow.python.framework.func_graph import FuncGraph
from tiny_recipe import tiny_data, tiny_donor

from efn_compose.jobs.study.plans import Plan
from efn_compose.jobs.study.worker import StudySetup, StudyWorker
from efn_compose.models.traced_gradients import forgetting_gradients
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import TrainOptions, fit


def graph_of_swish_gradient(wrap):
    x = tf.constant(np.linspace(-3, 3, 7, dtype=np.float32))

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.nn.silu(x)
        return tape.gradient(y, x)

    traced = tf.function(wrap(gradient), autograph=False)
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(traced(x), sigmoid * (1 + x * (1 - sigmoid)), rtol=1e-5)
    return weakref.ref(traced.get_concrete_function(x).graph)


def test_a_graph_lives_for_good_unless_its_custom_gradients_are_forgotten():
    kept = graph_of_swish_gradient(lambda function: function)
    freed = graph_of_swish_gradient(forgetting_gradients)
    gc.collect()
    assert kept() is not None, "TensorFlow forgets by itself now: `forgetting_gradients` can go"
    assert freed() is None


@pytest.mark.slow
def test_a_study_frees_a_network_before_the_next():
    worker = StudyWorker(StudySetup({}, [], ""), {})
    recipes = [TrainOptions(epochs=1, label_smoothing=share) for share in (0.0, 0.1)]
    plans = [Plan("tiny", "donor", TINY, "", "", 16, r, AugmentOptions()) for r in recipes]
    gc.collect()
    before = {id(graph) for graph in graphs()}
    fit(tiny_donor(), tiny_data(), trainer=worker.trainer(plans[0], tiny_donor(), 4), seed=1)
    traced = [weakref.ref(graph) for graph in graphs() if id(graph) not in before]
    assert traced
    worker.trainer(plans[1], tiny_donor(), 4)
    # What the first collection frees had held more.
    gc.collect()
    gc.collect()
    assert not [graph() for graph in traced if graph() is not None]


def graphs():
    return [thing for thing in gc.get_objects() if isinstance(thing, FuncGraph)]
