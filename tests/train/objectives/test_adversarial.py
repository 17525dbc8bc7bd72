"""AdvProp against what it must equal: a doubled batch without an attack, its definition with one."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_recipe import tiny_data, tiny_donor

from efn_compose.errors import ConfigError
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.objectives.adversarial import AdversarialClassification
from efn_compose.train.objectives.classification import Classification
from efn_compose.train.objectives.of_options import classification
from efn_compose.train.recipe import Trainer, TrainOptions, fit

PLAIN = {
    "epochs": 2, "batch_size": 16, "dropout": 0.0, "optimizer": "sgd", "learning_rate": 0.1,
    "absorb": "never", "deterministic": True,
}  # fmt: skip
STILL = AugmentOptions(flip_x=0.0)


def started(options):
    kind = AdversarialClassification if options.advprop else Classification
    trainer = Trainer(tiny_donor(), kind(4, options))
    trainer.start(tiny_donor(), 1, tiny_data(), 10)
    return trainer


@pytest.fixture(scope="module")
def plain():
    return fit(tiny_donor(), tiny_data(), TrainOptions(**PLAIN), STILL)


@pytest.fixture(scope="module")
def unattacked():
    return started(TrainOptions(**PLAIN, advprop=1.0, advprop_radius=0.0))


def is_norm(variable):
    return "gamma" in variable.path or "beta" in variable.path or "moving" in variable.path


@pytest.mark.slow
def test_without_an_attack_the_update_is_that_of_a_doubled_batch(unattacked):
    plain = started(TrainOptions(**PLAIN))
    data = tiny_data()
    pixels = plain.scaled(data.train_images[:16])
    targets = tf.constant(data.targets[:16])
    before = [np.array(v) for v in plain.model.trainable_variables]
    unattacked.step.run([(pixels, targets)], 0.1)
    plain.step.run([(tf.concat([pixels] * 2, 0), tf.concat([targets] * 2, 0))], 0.1)
    twins = {
        id(mine): twin
        for layer, other in unattacked.objective._pairs
        for mine, twin in zip(layer.variables, other.variables, strict=True)
    }
    for ours, theirs, start in zip(
        unattacked.model.trainable_variables, plain.model.trainable_variables, before, strict=True
    ):
        moved = np.asarray(theirs) - start
        found = np.asarray(ours) - start
        if is_norm(ours):
            # The clean layer and its twin have half of the update each.
            found = found + np.asarray(twins[id(ours)]) - start
        np.testing.assert_allclose(found, moved, atol=1e-5 + 1e-4 * np.abs(moved).max())
    for ours, theirs in zip(
        unattacked.model.non_trainable_variables, plain.model.non_trainable_variables, strict=True
    ):
        if is_norm(ours):
            np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-4)


@pytest.mark.slow
def test_adversarial_images_of_no_weight_leave_plain_training_bit_for_bit(plain):
    """The attack and the twins run all the same: nothing of them reaches what is kept."""
    objective = AdversarialClassification(4, TrainOptions(**PLAIN, advprop_radius=8.0))
    fitted = fit(tiny_donor(), tiny_data(), augment=STILL, objective=objective)
    for name, values in plain.donor.tensors.items():
        np.testing.assert_array_equal(fitted.donor.tensors[name], values, err_msg=name)
    # What such an objective makes of no weight, the options never ask for.
    assert type(classification(4, TrainOptions(**PLAIN))) is Classification


@pytest.mark.slow
def test_an_attack_stays_in_its_radius_and_raises_the_loss():
    trainer = started(TrainOptions(**PLAIN, advprop=1.0, advprop_radius=4.0, advprop_steps=2))
    data, objective = tiny_data(), trainer.objective
    pixels = trainer.scaled(data.train_images[:16])
    targets = tf.constant(data.targets[:16])
    found = objective._attacked(pixels, targets)
    scaling = tiny_donor().conventions.preprocessing
    grey = (found - pixels).numpy() * np.asarray(scaling.std)
    assert 3.9 < np.abs(grey).max() <= 4.001
    levels = found.numpy() * np.asarray(scaling.std) + np.asarray(scaling.mean)
    assert levels.min() > -0.01 and levels.max() < 255.01
    clean = float(objective._twin_loss(pixels, targets))
    assert float(objective._twin_loss(found, targets)) > clean


@pytest.mark.slow
def test_twins_learn_are_kept_for_going_on_and_never_written(plain):
    options = TrainOptions(**PLAIN, advprop=1.0, advprop_radius=8.0)
    objective = AdversarialClassification(4, options)
    trainer = Trainer(tiny_donor(), objective)
    fitted = fit(tiny_donor(), tiny_data(), augment=STILL, trainer=trainer)
    names = set(fitted.donor.tensors)
    assert names == set(plain.donor.tensors)
    kept = {id(v) for group in trainer.variables().values() for v in group}
    assert all(id(variable) in kept for variable in objective.variables())
    clean = [v for layer, _ in objective._pairs for v in layer.variables]
    moved = [not np.allclose(a, b) for a, b in zip(clean, objective.variables(), strict=True)]
    assert any(moved)
    again = fit(tiny_donor(), tiny_data(), augment=STILL, trainer=trainer)
    for name, values in fitted.donor.tensors.items():
        np.testing.assert_array_equal(again.donor.tensors[name], values)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="attacks single images"):
        TrainOptions(advprop=1.0, augmix=1.0)
