"""The adversarial method: a penalty of one image alone, what each side learns of, and a kill."""

import numpy as np
import pytest
import tensorflow as tf
from image_calls import count_image_calls
from tiny_recipe import KilledHalfWay, quarters, tiny_donor

from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Seen
from efn_compose.train.recipe import Trainer
from efn_compose.train.recipe.fit import fit_inputs
from efn_compose.train.recipe.inputs import Inputs
from efn_compose.train.selfsup import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.adversarial.critic import gradient_penalty, held
from efn_compose.train.selfsup.methods.gan import Gan

# Whichever test comes first builds the network of all.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trainer():
    options = PretrainOptions(methods=("gan",), epochs=2, batch_size=16, learning_rate=0.002)
    return Trainer(tiny_donor(), Gan(options, ViewOptions(crop=0.6)))


def data():
    images = quarters(96)[0]
    return TrainingData.of_images(images[:64], images[64:])


def started(trainer):
    trainer.start(tiny_donor(), 1, data(), 8)
    return trainer.objective


def test_the_penalty_of_an_image_does_not_depend_on_its_batch(trainer):
    critic = started(trainer).critic
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(6, 16, 16, 3)).astype(np.float32)
    whole = gradient_penalty(critic, tf.constant(pixels)).numpy()
    for number in range(6):
        alone = gradient_penalty(critic, tf.constant(pixels[number : number + 1])).numpy()
        np.testing.assert_allclose(alone, whole[number : number + 1], rtol=1e-4)
    others = np.concatenate([pixels[:1], 9 * pixels[1:]])
    mixed = gradient_penalty(critic, tf.constant(others)).numpy()
    np.testing.assert_allclose(mixed[0], whole[0], rtol=1e-4)


def test_the_penalty_is_the_squared_slope(trainer):
    critic = started(trainer).critic
    pixels = np.random.default_rng(1).normal(size=(1, 16, 16, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        x = tf.constant(pixels)
        tape.watch(x)
        said = tf.reduce_mean(critic(x))
    slope = tape.gradient(said, x).numpy()
    # Along the gradient the critic rises by its length.
    step = 1e-2 * slope / np.linalg.norm(slope)
    rise = float(tf.reduce_mean(critic(pixels + step)) - tf.reduce_mean(critic(pixels - step)))
    penalty = float(gradient_penalty(critic, tf.constant(pixels))[0])
    assert penalty == pytest.approx((rise / 2e-2) ** 2, rel=0.05)


def test_each_side_learns_of_its_own_loss_alone(trainer):
    objective = started(trainer)
    made = tf.random.normal((4, 16, 16, 3), seed=1)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(made)
        said = tf.reduce_sum(held(objective.critic, made))
    weights = [variable.value for variable in objective.critic.trainable_variables]
    assert all(gradient is None for gradient in tape.gradient(said, weights))
    assert np.abs(tape.gradient(said, made)).max() > 0
    np.testing.assert_allclose(held(objective.critic, made), objective.critic(made), rtol=1e-5)


def test_critic_and_generator_learn_and_a_kill_costs_nothing(trainer, tmp_path):
    started(trainer)
    before = [np.array(v.numpy()) for v in trainer.objective.generator.trainable_variables]
    inputs = Inputs(data(), tiny_donor(), trainer.objective, AugmentOptions(), seed=1)
    whole = fit_inputs(tiny_donor(), inputs, trainer)
    after = [v.numpy() for v in trainer.objective.generator.trainable_variables]
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    wanted = whole.donor
    assert wanted.tensors.keys() == tiny_donor().tensors.keys() and not wanted.parts
    assert {"critic_gap", "penalty"} <= set(whole.history.epochs[-1].validation)
    real, made = trainer.objective.pictures(data().train_images[:3])
    assert made.shape == real.shape and made.std() > 0

    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        fit_inputs(tiny_donor(), inputs, trainer, state_file=state, watcher=KilledHalfWay())
    fit_inputs(tiny_donor(1), inputs, trainer)  # forget everything
    found = fit_inputs(tiny_donor(), inputs, trainer, state_file=state)
    assert found.donor.fingerprint == wanted.fingerprint


def test_the_critic_is_watched_on_few_images_at_once(trainer, monkeypatch):
    objective = started(trainer)
    # Kept for gradients, the maps of all images would not fit where a batch does.
    monkeypatch.setattr(objective, "options", objective.options.__class__(batch_size=5))
    calls = count_image_calls(monkeypatch)
    found = objective.scores(trainer.predict, data())
    assert not calls
    images = objective.scaled(data().validation_images.astype(np.float32))
    made = objective.scaled(objective._generate(32, tf.constant([0, 0], tf.int64), 16).numpy())
    gap = np.mean(objective.critic(images)) - np.mean(objective.critic(made))
    assert found["critic_gap"] == pytest.approx(gap, abs=1e-5)
    slopes = gradient_penalty(objective.critic, tf.constant(images, tf.float32))
    assert found["penalty"] == pytest.approx(float(np.mean(slopes)), rel=1e-4)


def test_views_draw_otherwise_than_the_augmentation_before_them():
    numbers, zero = tf.range(300, dtype=tf.int64), tf.constant(0, tf.int64)
    flat = np.full((300, 4, 4, 3), 90.0, np.float32)
    seen = augment(flat, numbers, AugmentOptions(flip_x=0, contrast=0.3), seed=0).numpy()
    off = {"brightness": 0.0, "saturation": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0}
    views = ViewOptions(crop=1.0, contrast=0.3, jitter=1.0, **off)
    batch = Seen(tf.constant(seen), tf.zeros((300, 1)), None, numbers, zero, zero, zero)
    shown = Gan(PretrainOptions(methods=("gan",)), views).prepare(batch)[0].numpy()
    first = (seen[:, 0, 0, 0] - 127.5) / (90 - 127.5)
    second = (shown[:, 0, 0, 0] - 127.5) / (seen[:, 0, 0, 0] - 127.5)
    assert 0.69 < second.min() < 0.75 and 1.25 < second.max() < 1.31
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2
