"""A traced network can be freed once its custom gradients are given up."""

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
from efn_compose.models.traced_gradients import TracedGradients
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import TrainOptions, fit


def graph_of_swish_gradient(x):
    @tf.function(autograph=False)
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.nn.silu(x)
        return tape.gradient(y, x)

    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(
        gradient(tf.constant(x)), sigmoid * (1 + x * (1 - sigmoid)), rtol=1e-5
    )
    return weakref.ref(gradient.get_concrete_function(tf.constant(x)).graph)


def test_only_what_was_traced_since_is_forgotten():
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    earlier = TracedGradients()
    kept = graph_of_swish_gradient(x)
    later = TracedGradients()
    graphs = [graph_of_swish_gradient(x) for _ in range(2)]
    assert later.forget() >= len(graphs)
    assert later.forget() == 0
    gc.collect()
    assert [graph() for graph in graphs] == [None, None]
    assert kept() is not None, "TensorFlow forgets by itself now: `TracedGradients` can go"
    earlier.forget()
    gc.collect()
    assert kept() is None


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
    gc.collect()
    assert not [graph() for graph in traced if graph() is not None]


def graphs():
    return [thing for thing in gc.get_objects() if isinstance(thing, FuncGraph)]
