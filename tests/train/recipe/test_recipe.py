"""The recipe's parts against closed forms, papers and numpy; whole trainings on a tiny network."""

import signal
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from forked_commands import Forked
from scipy.special import log_softmax, softmax
from tiny_recipe import quarters, tiny_data, tiny_donor, train_to_files

from efn_compose.donors import load_donor
from efn_compose.errors import ConfigError, DataError, ResumeMismatchError, RunError
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.engine.schedules import learning_rates
from efn_compose.train.objectives.backbone import norm_variables
from efn_compose.train.objectives.linear_head import head_layers
from efn_compose.train.objectives.losses import class_weights, image_losses
from efn_compose.train.recipe import Classification, Trainer, TrainingData, TrainOptions, fit
from efn_compose.train.recipe.ahead import made_ahead
from efn_compose.train.recipe.average import MovingAverage, step_back
from efn_compose.train.recipe.inputs import Inputs
from efn_compose.train.recipe.optimizers.padam import PAdam
from efn_compose.train.recipe.optimizers.table import make_optimizer, optimizer_classes
from efn_compose.train.recipe.rate_finder import find_rate
from efn_compose.train.recipe.step import UpdateStep

# Whichever test comes first builds the networks of all.
pytestmark = pytest.mark.slow

PLAIN = AugmentOptions(flip_x=0.0)


def rates(name, epochs=4, per_epoch=10, **options):
    options = TrainOptions(epochs=epochs, schedule=name, **options)
    return learning_rates(options, per_epoch, 0.5)


def test_triangular_rates_are_straight_lines_between_lowest_and_peak():
    found = rates("triangular", cycle_epochs=2.0, lowest_rate=0.2)
    assert found[[0, 10, 20, 30]] == pytest.approx([0.1, 0.5, 0.1, 0.5])
    assert np.abs(np.diff(found)) == pytest.approx(np.full(39, 0.04))


def test_cosine_restarts_at_the_peak_and_periods_grow():
    found = rates("cosine_restarts", epochs=7, cycle_epochs=1.0, cycle_growth=2.0, lowest_rate=0.0)
    # Periods of 1, 2 and 4 epochs (Loshchilov and Hutter, equation 5).
    assert np.flatnonzero(found == found.max()).tolist() == [0, 10, 30]
    within = np.arange(20)
    assert found[10:30] == pytest.approx(0.25 * (1 + np.cos(np.pi * within / 20)))


def test_one_cycle_rises_once_falls_once_and_ends_at_nearly_nothing():
    found = rates("one_cycle", lowest_rate=0.04)
    top = int(found.argmax())
    assert found[0] == pytest.approx(0.02) and found[top] == pytest.approx(0.5)
    assert (np.diff(found[: top + 1]) > 0).all() and (np.diff(found[top:]) < 0).all()
    assert top == 12 and found[-1] < 1e-4


def test_cosine_rises_in_a_line_and_falls_as_half_a_cosine():
    found = rates("cosine")
    assert found[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert found[4:] == pytest.approx(0.25 * (1 + np.cos(np.pi * np.arange(36) / 36)))


def test_losses_are_those_of_numpy():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(5, 3)), np.eye(3)[[0, 1, 2, 0, 1]]
    smooth = targets * 0.9 + 0.1 / 3
    found = image_losses(tf.constant(logits), tf.constant(targets, tf.float32), smoothing=0.1)
    assert found.numpy() == pytest.approx(-(smooth * log_softmax(logits, 1)).sum(1), rel=1e-5)
    found = image_losses(tf.constant(logits), tf.constant(targets, tf.float32), focal_gamma=2.0)
    p = (softmax(logits, 1) * targets).sum(1)
    assert found.numpy() == pytest.approx(-((1 - p) ** 2) * np.log(p), rel=1e-5)


def test_focal_gradient_is_finite_for_a_sure_network():
    logits = tf.Variable([[80.0, -80.0]])
    with tf.GradientTape() as tape:
        loss = image_losses(logits, tf.constant([[1.0, 0.0]]), focal_gamma=0.5)
    assert np.isfinite(tape.gradient(loss, logits).numpy()).all()


def test_class_weights_average_one_over_the_images():
    targets = np.eye(3)[[0] * 6 + [1] * 3 + [2]]
    for options in (TrainOptions(balance_classes=True), TrainOptions(class_weights=(1, 2, 5))):
        weights = class_weights(options, targets)
        assert (targets @ weights).mean() == pytest.approx(1)
    balanced = class_weights(TrainOptions(balance_classes=True), targets)
    assert balanced * [6, 3, 1] == pytest.approx(np.full(3, balanced[2]))
    with pytest.raises(ConfigError, match="expected 3"):
        class_weights(TrainOptions(class_weights=(1, 2)), targets)


@pytest.mark.parametrize("partial", [0.125, 0.5])
def test_padam_makes_the_steps_of_algorithm_1(partial):
    rng = np.random.default_rng(1)
    start = rng.normal(size=4)
    x, m, v, v_hat = start.copy(), 0.0, 0.0, 0.0
    variable = keras.Variable(start, dtype="float64")
    optimizer = PAdam(0.05, partial=partial, epsilon=0.0)
    for _ in range(20):
        gradient = rng.normal(size=4) * 3
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        v_hat = np.maximum(v_hat, v)
        x = x - 0.05 * m / v_hat**partial
        optimizer.apply([tf.constant(gradient)], [variable])
    assert variable.numpy() == pytest.approx(x, rel=1e-6)


def test_every_optimizer_of_keras_has_its_name_and_padam_too():
    names = optimizer_classes()
    assert {"adam", "adamw", "sgd", "lion", "rmsprop", "padam"} <= set(names)
    options = TrainOptions(optimizer="SGD", optimizer_settings=("momentum=0.9",), weight_decay=0.1)
    made = make_optimizer(options, 0.1)
    assert (made.momentum, made.weight_decay) == (0.9, 0.1)
    with pytest.raises(ConfigError, match="adamw"):
        make_optimizer(TrainOptions(optimizer="adamx"), 0.1)
    with pytest.raises(ConfigError, match="momentums"):
        make_optimizer(TrainOptions(optimizer_settings=("momentums=1",)), 0.1)


def test_no_optimizer_goes_back_to_the_weights_that_it_was_made_with():
    """A trainer makes its optimizer before it loads the donor."""
    for name in optimizer_classes():
        made = make_optimizer(TrainOptions(optimizer=name), 1e-9)
        variable = keras.Variable(np.ones((3, 3), np.float32))
        made.build([variable])
        variable.assign(np.full((3, 3), 5.0))
        made.apply([keras.ops.full((3, 3), 1e-3)], [variable])
        assert np.array(variable) == pytest.approx(5.0, abs=1e-5), name


@pytest.mark.parametrize("word", ["learning_rate=0.5", "use_ema=true", "ema_momentum=0.9"])
def test_arguments_that_would_change_nothing_are_refused_with_the_setting_that_does(word):
    with pytest.raises(ConfigError, match=r"no effect has \w+ \(set train\.(learning_rate|ema)\)"):
        make_optimizer(TrainOptions(optimizer="sgd", optimizer_settings=(word,)), 0.1)


def test_no_optimizer_decays_weights_unless_told_to():
    for name in optimizer_classes():
        made = make_optimizer(TrainOptions(optimizer=name), 0.1)
        assert not made.weight_decay and not getattr(made, "adam_weight_decay", 0), name
        told = make_optimizer(TrainOptions(optimizer=name, weight_decay=0.1), 0.1)
        assert told.weight_decay == 0.1 == getattr(told, "adam_weight_decay", 0.1), name


def dense_step(options, seed=0, further=()):
    """Return an update step of a network in which no image sees another, and of further variables."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((4, 4, 3))
    x = keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Dense(3)(x))
    objective = Classification(3, options)
    optimizer = make_optimizer(options, 0.1)
    return model, UpdateStep(model, objective, optimizer, [*further, *model.trainable_variables])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_the_loss_does_not_read_stays_without_a_word(accumulate):
    idle = keras.Variable([1.0, -2.0])
    options = TrainOptions(optimizer="adamw", weight_decay=0.1, accumulate=accumulate)
    model, step = dense_step(options, further=(idle,))
    before = [np.array(v.numpy()) for v in model.trainable_variables]
    step.start()
    pixels, targets = np.ones((6, 4, 4, 3), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2] * 2]
    step.run([(tf.constant(pixels), tf.constant(targets))] * accumulate, 0.01)
    assert idle.numpy().tolist() == [1.0, -2.0]
    assert all(
        (v.numpy() != b).any() for v, b in zip(model.trainable_variables, before, strict=True)
    )


def test_accumulated_batches_are_one_large_batch():
    rng = np.random.default_rng(2)
    pixels = rng.normal(size=(3, 12, 4, 4, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[rng.integers(0, 3, (3, 12))]
    weights = np.array([0.5, 1.0, 2.0], np.float32)
    found = {}
    for parts in (1, 3):
        model, step = dense_step(TrainOptions(accumulate=parts, class_weights=(0.5, 1.0, 2.0)))
        step.objective.class_weights.assign(weights)
        step.start()
        for x, y in zip(pixels, targets, strict=True):
            batches = zip(np.split(x, parts), np.split(y, parts), strict=True)
            loss = step.run([(tf.constant(a), tf.constant(b)) for a, b in batches], 0.01)
        found[parts] = [loss, *(np.array(v.numpy()) for v in model.variables)]
    for one, several in zip(found[1], found[3], strict=True):
        assert np.allclose(one, several, atol=2e-6)


def test_half_an_update_of_a_training_that_failed_is_forgotten():
    rng = np.random.default_rng(2)
    pixels = tf.constant(rng.normal(size=(4, 4, 4, 3)).astype(np.float32))
    batch = pixels, tf.eye(4)[:, :3]
    found = []
    for fails in (False, True):
        model, step = dense_step(TrainOptions(accumulate=2))
        step.start()
        if fails:
            with pytest.raises(tf.errors.InvalidArgumentError):
                step.run([(-pixels, batch[1]), (pixels[:, :2], batch[1])], 0.01)
            step.start()
        step.run([batch, batch], 0.01)
        found.append([np.array(v.numpy()) for v in model.trainable_variables])
    for one, other in zip(*found, strict=True):
        assert (one == other).all()


def test_average_follows_numpy_and_leaves_the_network_as_it_was():
    model, _ = dense_step(TrainOptions())
    average = MovingAverage(model, 0.9)
    weight = model.trainable_variables[0]
    expected = np.array(weight.numpy())
    rng = np.random.default_rng(3)
    for t in range(15):
        weight.assign(rng.normal(size=weight.shape))
        average.update()
        decay = min(0.9, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * np.array(weight.numpy())
    before = np.array(weight.numpy())
    with average.in_place():
        assert np.allclose(weight, expected, atol=1e-6)
    assert (np.array(weight.numpy()) == before).all()


def test_two_forward_one_back_ends_in_the_middle():
    weight, anchor = tf.Variable([4.0, 8.0]), tf.Variable([0.0, 2.0])
    step_back([weight], [anchor])
    assert weight.numpy().tolist() == anchor.numpy().tolist() == [2.0, 5.0]


def test_range_test_finds_where_a_quadratic_explodes_and_puts_everything_back():
    x = tf.Variable([1.0, -2.0])
    before = x.numpy()

    def update(number, rate):
        # Gradient descent on 5 |x|^2 diverges from a rate of 2 / 10 on.
        loss = float(5 * tf.reduce_sum(x * x))
        x.assign(x - rate * 10 * x)
        return loss

    curve = find_rate(update, [x], updates=200, lowest=1e-5, highest=100.0)
    assert (x.numpy() == before).all()
    assert 0.01 < curve.rate < 0.2 and curve.rates[-1] < 100
    assert curve.to_csv().splitlines()[0] == "learning_rate,loss,smoothed_loss"


def test_batches_are_decided_by_seed_epoch_and_step_and_resized():
    data = tiny_data()
    options = TrainOptions(batch_size=10, accumulate=2, epochs=2, sizes=(8, 16), mixup=0.2)
    objective, seen = Classification(4, options), AugmentOptions(rotation=20)
    inputs = [Inputs(data, tiny_donor(), objective, seen, 5) for _ in range(2)]
    assert inputs[0].updates_per_epoch == 5
    orders = [one.order(0) for one in inputs]
    assert [len(update) for update in orders[0]] == [2, 2, 2, 2, 1]
    seen = np.concatenate([batch for update in orders[0] for batch in update])
    assert len(set(seen.tolist())) == 90
    first, second = (
        one.batch(order[0][0], 1, 7, 8) for one, order in zip(inputs, orders, strict=True)
    )
    assert first[0].shape == (10, 8, 8, 3)
    assert (first[0].numpy() == second[0].numpy()).all()
    assert first[1].numpy().sum(1) == pytest.approx(np.ones(10), abs=1e-6)
    other = inputs[0].batch(orders[0][0][0], 2, 7, 8)
    assert not (first[0].numpy() == other[0].numpy()).all()
    # Made ahead they are the same: batch 7 is the first one of the second update.
    ahead = list(made_ahead(inputs[0], [orders[0][1], orders[0][0]], 1, 5, 8))
    assert [len(update) for update in ahead] == [2, 2]
    for found, wanted in zip(ahead[1][0], first, strict=True):
        assert (found.numpy() == wanted.numpy()).all()


def test_the_next_batch_is_made_while_the_present_one_is_used():
    made = threading.Semaphore(0)

    class Watched(Inputs):
        def batch(self, *arguments):
            try:
                return super().batch(*arguments)
            finally:
                made.release()

    inputs = Watched(
        tiny_data(), tiny_donor(), Classification(4, TrainOptions(batch_size=45)), PLAIN, 5
    )
    updates = made_ahead(inputs, inputs.order(0), 0, 0, 16)
    next(updates)
    assert made.acquire(timeout=10) and made.acquire(timeout=10)
    updates.close()


def test_wrong_data_and_options_say_everything_at_once():
    images, labels = quarters(8)
    with pytest.raises(DataError) as error:
        TrainingData(("a",), images.astype(float), labels, images, labels[:3])
    for word in ("1 class", "uint8", "8 images, 3 labels", "outside"):
        assert word in str(error.value)
    with pytest.raises(ConfigError) as error:
        TrainOptions(balance_classes=True, class_weights=(1.0,), sizes=(4,), augmix=1, mixup=1)
    assert len(str(error.value).splitlines()) == 4


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    options = TrainOptions(epochs=6, batch_size=16, learning_rate=0.02, warm_up_epochs=1)
    state = tmp_path_factory.mktemp("fit") / "state.npz"
    return fit(tiny_donor(), tiny_data(), options, PLAIN, state_file=state), state


def test_a_training_learns_and_its_weight_file_computes_the_same(fitted, tmp_path):
    model, _ = fitted
    images, labels = quarters(200, seed=9)
    logits = model.predict(images)
    assert (logits.argmax(1) == labels).mean() > 0.9
    assert [record.phase for record in model.history.epochs] == ["warm_up"] + ["train"] * 6
    model.donor.save(tmp_path / "last.h5")
    donor = load_donor(tmp_path / "last.h5")
    plain = np.asarray(donor.build()(donor.preprocess(images[:16])))
    assert plain == pytest.approx(logits[:16], abs=1e-4)


def test_a_finished_state_file_trains_nothing_and_refuses_other_trainings(fitted, tmp_path):
    model, state = fitted
    options = model.trainer.options
    again = fit(tiny_donor(), tiny_data(), options, PLAIN, state_file=state, trainer=model.trainer)
    assert again.history.to_json() == model.history.to_json()
    with pytest.raises(ResumeMismatchError, match="weights"):
        fit(tiny_donor(1), tiny_data(), options, PLAIN, state_file=state, trainer=model.trainer)
    broken = tmp_path / "state.npz"
    broken.write_bytes(state.read_bytes()[:-200])
    with pytest.raises(RunError, match="damaged"):
        fit(tiny_donor(), tiny_data(), options, PLAIN, state_file=broken, trainer=model.trainer)


def test_a_trainer_remembers_nothing_of_the_training_before(fitted):
    model, _ = fitted
    trainer, first = model.trainer, model.last
    fit(tiny_donor(), tiny_data(), trainer.options, PLAIN, seed=2, trainer=trainer)
    again = fit(tiny_donor(), tiny_data(), trainer.options, PLAIN, trainer=trainer)
    assert all((again.last[name] == values).all() for name, values in first.items())


def test_warm_up_moves_gamma_and_beta_alone(fitted):
    model, _ = fitted
    trainer = model.trainer
    trainer.start(tiny_donor(), 1, tiny_data(), 1)
    before = {v.path: np.array(v.numpy()) for v in trainer.model.trainable_variables}
    images, labels = quarters(16)
    batch = (trainer.scaled(images), tf.constant(np.eye(4, dtype=np.float32)[labels]))
    trainer.warm_up.run([batch], 0.01)
    moved = {
        v.path for v in trainer.model.trainable_variables if (v.numpy() != before[v.path]).any()
    }
    # What the other tests look at.
    trainer.put(model.last)
    assert moved == {v.path for v in norm_variables(trainer.model)}
    assert all(path.rpartition("/")[2] in ("gamma", "beta") for path in moved)


def test_heads_frozen_backbones_and_precisions():
    images, _ = quarters(4)
    options = TrainOptions(pooling="avgmax", precision="mixed_bfloat16")
    wide = Trainer(tiny_donor(), Classification(4, options))
    assert wide.model.get_layer("predictions").kernel.shape == (64, 4)
    assert wide.model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert wide.model.get_layer("stem_conv").kernel.dtype == "float32"
    assert wide.predict(images).dtype == np.float32
    assert keras.config.dtype_policy().name == "float32"
    options = TrainOptions(frozen_backbone=True, hidden_units=(5,))
    frozen = Trainer(tiny_donor(), Classification(4, options))
    assert [layer.name for layer in head_layers(frozen.model)] == ["hidden1", "predictions"]
    assert len(frozen.step.variables) == 4


def test_a_killed_training_resumes_and_ends_bit_for_bit_like_an_undisturbed_one(tmp_path):
    # Six updates per epoch: the 15th is in the middle of the third.
    killed = Forked(train_to_files, ["killed"], 0.2, folder=tmp_path)
    while "update 15" not in killed.outputs[0].read_text():
        assert killed.process.is_alive(), killed.result().stderr
        time.sleep(0.02)
    assert killed.kill().returncode == -signal.SIGKILL and not (tmp_path / "killed.h5").exists()
    done = Forked(train_to_files, ["killed", "calm"], folder=tmp_path).result()
    assert done.returncode == 0, done.stderr
    # Two epochs were on the disk; the third begins anew.
    assert done.stdout.split()[1::2] == [str(n) for n in (*range(13, 25), *range(1, 25))]
    assert (tmp_path / "killed.h5").read_bytes() == (tmp_path / "calm.h5").read_bytes()
