"""Methods on a tiny network: what learns, what is kept, what a kill costs, and planted failures."""

import dataclasses
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tiny_recipe import KilledHalfWay, quarters, tiny_donor

from efn_compose.donors.lineage import LINEAGE_THRESHOLD, lineage_cosine
from efn_compose.errors import DataError
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe import Trainer, fit
from efn_compose.train.recipe.fit import fit_inputs
from efn_compose.train.recipe.inputs import Inputs
from efn_compose.train.selfsup import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.methods.byol import teacher_momentum
from efn_compose.train.selfsup.methods.simsiam import SimSiam
from efn_compose.train.selfsup.monitors import alarms
from efn_compose.train.selfsup.options import METHODS, TWO_VIEWS
from efn_compose.train.selfsup.table import OBJECTIVES, make_objective

# Whichever test comes first builds the networks of all.
pytestmark = pytest.mark.slow

FEW = PretrainOptions(epochs=2, batch_size=16, width=32, monitor_images=32)
VIEWS = ViewOptions(crop=0.6, blur=0.0)


def data(count=64):
    images, labels = quarters(count)
    watched, known = quarters(200, seed=1)
    return TrainingData(
        ("a", "b", "c", "d"), images, np.full(len(labels), -1, np.int32), watched, known
    )


class Traced:
    """A method's trainer and batches, both traced once, and its first training."""

    def __init__(self, method):
        options = dataclasses.replace(FEW, methods=(method,))
        self.trainer = Trainer(tiny_donor(), make_objective(method, options, VIEWS))
        objective = self.trainer.objective
        self.inputs = Inputs(data(), tiny_donor(), objective, AugmentOptions(), seed=1)
        self.first = self.fit()

    def fit(self, donor=None, **more):
        return fit_inputs(donor or tiny_donor(), self.inputs, self.trainer, **more)


@pytest.fixture(scope="module")
def traced():
    """What was traced, by method."""
    return functools.cache(Traced)


def epochs(fitted):
    return [record.validation for record in fitted.history.epochs]


def test_the_table_has_every_method():
    assert tuple(OBJECTIVES) == METHODS


@pytest.mark.parametrize("method", TWO_VIEWS)
def test_a_method_makes_a_relative_of_the_donor(method, traced):
    fitted = traced(method).first
    found, donor = fitted.donor, tiny_donor()
    # A donor like any other: nothing of projector and predictor is left.
    assert found.tensors.keys() == donor.tensors.keys() and not found.parts
    cosine = lineage_cosine(found, donor)
    assert LINEAGE_THRESHOLD < cosine < 1
    first, last = epochs(fitted)[0], epochs(fitted)[-1]
    assert {"spread", "rank", "rank_share", "neighbours", "knn", "knn_gain"} <= set(last)
    assert first["neighbours"] > 0.1 and np.isfinite(list(last.values())).all()


# With a teacher beside the network, and without.
@pytest.mark.parametrize("method", ["vicreg", "byol"])
def test_a_killed_pretraining_goes_on_to_the_same_bits(method, traced, tmp_path):
    made, state = traced(method), tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        made.fit(state_file=state, watcher=KilledHalfWay())
    made.fit(tiny_donor(1))  # forget everything
    found = made.fit(state_file=state)
    assert found.donor.fingerprint == made.first.donor.fingerprint
    assert epochs(found) == epochs(made.first)


def test_gamma_and_beta_alone_learn_where_that_is_asked_for():
    start = absorb_statistics(tiny_donor(), data().train_images, "all")
    options = dataclasses.replace(FEW, learns="norm", epochs=1)
    fitted = fit(tiny_donor(), data(), objective=make_objective("vicreg", options, VIEWS))
    changed = {
        name.rpartition("/")[2]
        for name, values in fitted.donor.tensors.items()
        if not np.array_equal(values, start.tensors[name])
    }
    assert changed == {"gamma", "beta", "moving_mean", "moving_variance"}


def test_the_order_of_images_in_a_batch_does_not_matter(traced):
    trainer = traced("byol").trainer
    trainer.start(tiny_donor(), 1, data(), 8)
    rng = np.random.default_rng(0)
    views = rng.normal(size=(2, 8, 16, 16, 3)).astype(np.float32)
    order = rng.permutation(8)
    losses = [
        trainer.objective.loss(
            trainer.model,
            tf.constant(part.reshape(16, 16, 16, 3)),
            tf.zeros((8, 1)),
            tf.constant(0.0),
        )
        for part in (views, views[:, order])
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_teacher_is_the_average_that_the_paper_describes(traced):
    trainer = traced("byol").trainer
    objective = trainer.objective
    trainer.start(tiny_donor(), 1, data(), 8)
    start = [variable.numpy() for variable in objective.variables()]
    for variable in trainer.model.trainable_variables:
        variable.assign(variable + 1.0)
    pixels = tf.zeros((16, 16, 16, 3))
    objective.loss(trainer.model, pixels, tf.zeros((8, 1)), tf.constant(4.0))
    share = 1 - (1 - 0.99) * (np.cos(np.pi * 4 / 8) + 1) / 2
    for before, after in zip(start, objective.variables(), strict=True):
        np.testing.assert_allclose(after, before + (1 - share), atol=1e-6)
    assert float(teacher_momentum(8.0, 8.0, 0.9)) == 1.0


def alarmed(fitted):
    """The alarms of all epochs, their first words."""
    found = epochs(fitted)
    return {word.partition(":")[0] for n in range(len(found)) for word in alarms(found[: n + 1], 4)}


class CollapsedError(Exception):
    """Ends a training."""


class UntilCollapse:
    """Ends a training once it raises the alarm of a collapse."""

    def on_update(self, done, planned, loss):
        pass

    def on_epoch(self, history):
        if "collapse" in alarmed(SimpleNamespace(history=history)):
            self.losses = [record.train_loss for record in history.epochs]
            raise CollapsedError


def test_planted_no_spread_wanted_raises_the_alarm_of_a_collapse(traced):
    options = dataclasses.replace(FEW, variance=0.0, learning_rate=0.03, epochs=20)
    objective = make_objective("vicreg", options, VIEWS)
    with pytest.raises(CollapsedError):
        fit(tiny_donor(), data(), objective=objective, watcher=UntilCollapse())
    assert "collapse" not in alarmed(traced("vicreg").first)


def test_planted_no_stopped_gradient_raises_the_alarm_and_the_loss_falls_to_its_bottom():
    class Unstopped(SimSiam):
        def held(self, projection):
            return projection

    options = dataclasses.replace(FEW, methods=("simsiam",), learning_rate=0.2, epochs=120)
    watcher = UntilCollapse()
    with pytest.raises(CollapsedError):
        fit(tiny_donor(), data(), objective=Unstopped(options, VIEWS), watcher=watcher)
    assert min(watcher.losses) < -0.9


def test_planted_teacher_that_stands_still_raises_its_alarm(traced, monkeypatch):
    made = traced("byol")
    assert "teacher" not in alarmed(made.first)
    objective = made.trainer.objective
    still = dataclasses.replace(objective.pretrain, momentum=1.0)
    monkeypatch.setattr(objective, "pretrain", still)
    assert "teacher" in alarmed(made.fit())


def test_planted_rate_a_hundred_times_too_large_raises_the_alarm_of_drift(traced, monkeypatch):
    """At 0.003 this small network learns well."""
    trainer = traced("simclr").trainer
    wild = dataclasses.replace(trainer.options, learning_rate=100 * 0.003, epochs=15)
    monkeypatch.setattr(trainer, "options", wild)
    assert "drift" in alarmed(traced("simclr").fit())


def test_too_few_images_are_refused(traced):
    with pytest.raises(DataError, match=r"12 unlabelled images do not fill one batch of 16"):
        fit(tiny_donor(), data(12), trainer=traced("vicreg").trainer)
