"""Noisy Student and Mean Teacher against brute force, closed forms and numpy, on a tiny network."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from tiny_recipe import quarters, tiny_data, tiny_donor

from efn_compose.errors import ConfigError, DataError
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.recipe import Trainer, TrainingData, TrainOptions
from efn_compose.train.semi import SemiOptions, pseudo_labels
from efn_compose.train.semi.mean_teacher import (
    MeanTeacher,
    PairedInputs,
    mean_teacher,
    ramp,
)
from efn_compose.train.semi.noisy_student import joined, noisy_student, repeated, run_rounds

# Whichever test comes first builds the networks of all.
pytestmark = pytest.mark.slow

PLAIN = AugmentOptions(flip_x=0.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.0, 0.9), st.integers(0, 7))
def test_pseudo_labels_are_those_of_a_plain_reading_of_the_paper(
    seed, count, confidence, per_class
):
    rng = np.random.default_rng(seed)
    # Few distinct values, so that ties occur.
    answers = rng.integers(1, 6, (count, 3)).astype(np.float32)
    answers /= answers.sum(axis=1, keepdims=True)
    sure = [n for n in range(count) if answers[n].max() >= np.float32(confidence)]
    if not sure:
        with pytest.raises(DataError, match=r"Lower semi\.confidence"):
            pseudo_labels(answers, confidence=confidence)
        return
    wanted = per_class or int(np.ceil(len(sure) / 3))
    expected = []
    for label in range(3):
        mine = [n for n in sure if int(answers[n].argmax()) == label]
        mine.sort(key=lambda n: (-answers[n].max(), n))
        for place in range(wanted if mine else 0):
            expected.append(mine[place % len(mine)])
    found = pseudo_labels(answers, confidence=confidence, per_class=per_class)
    assert found.images.tolist() == expected and found.confident == len(sure)
    np.testing.assert_array_equal(found.shares, answers[expected])
    assert set(found.counts) <= {0, wanted}
    hard = pseudo_labels(answers, confidence=confidence, per_class=per_class, labels="hard")
    np.testing.assert_array_equal(hard.shares, np.eye(3)[answers[expected].argmax(1)])
    free = pseudo_labels(answers, confidence=confidence, balance=False)
    assert free.images.tolist() == sure


def test_labelled_images_are_repeated_until_they_are_the_share_asked_for():
    data = tiny_data()
    images, _ = quarters(40, seed=5)
    chosen = pseudo_labels(np.eye(4)[np.arange(40) % 4], confidence=0.9)
    few = TrainingData(
        data.class_names, data.train_images[:8], data.train_labels[:8], *quarters(8, seed=1)
    )
    found = joined(few, images, chosen, 0.5)
    assert len(found.train_images) == 80
    np.testing.assert_array_equal(found.train_images[:40], np.tile(few.train_images, (5, 1, 1, 1)))
    np.testing.assert_array_equal(found.targets[:8], np.eye(4)[few.train_labels])
    np.testing.assert_array_equal(found.train_images[40:], images[chosen.images])
    assert len(joined(few, images, chosen, 0.0).train_images) == 48


class Oracle:
    """A round's outcome that says what it is told to and remembers what it was asked."""

    def __init__(self, answers: np.ndarray) -> None:
        self.answers = answers
        self.history = SimpleNamespace(epochs=[SimpleNamespace(validation={"accuracy": 0.5})])

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.asked = images
        return self.answers


def test_each_student_learns_from_the_one_before_who_sees_images_as_they_are():
    rng = np.random.default_rng(0)
    data, (unlabelled, _) = tiny_data(), quarters(30, seed=3)
    oracles = [Oracle(3 * rng.normal(size=(30, 4)).astype(np.float32)) for _ in range(3)]
    calls = []

    def train(what, seen, number):
        calls.append((what, seen, number))
        return oracles[number]

    heavy = AugmentOptions(randaugment_ops=2)
    semi = SemiOptions(rounds=2, confidence=0.6, balance=False, labelled_share=0.0)
    fitted, records = run_rounds(data, unlabelled, semi, train, PLAIN, heavy)
    assert fitted is oracles[2] and not hasattr(fitted, "asked")
    assert [(seen, number) for _, seen, number in calls] == [(PLAIN, 0), (heavy, 1), (heavy, 2)]
    assert calls[0][0] is data
    for number in (1, 2):
        assert oracles[number - 1].asked is unlabelled
        stated = softmax(oracles[number - 1].answers.astype(float), axis=1)
        sure = np.flatnonzero(stated.max(axis=1) >= 0.6)
        what = calls[number][0]
        np.testing.assert_array_equal(what.train_images[len(data.train_images) :], unlabelled[sure])
        np.testing.assert_allclose(
            what.targets[len(data.train_images) :], stated[sure], rtol=1e-5, atol=1e-7
        )
        np.testing.assert_array_equal(what.validation_images, data.validation_images)
        assert records[number].confident == len(sure) == sum(records[number].counts)
    with pytest.raises(DataError, match="unlabelled images must be uint8"):
        run_rounds(data, unlabelled.astype(float), semi, train, PLAIN, heavy)


def test_a_noisy_student_learns_by_the_objective_that_the_options_name(monkeypatch):
    class StopError(Exception):
        pass

    def stop(donor, objective):
        raise StopError(type(objective).__name__)

    monkeypatch.setattr("efn_compose.train.semi.noisy_student.Trainer", stop)
    unlabelled = quarters(8)[0]
    for options, wanted in (
        (None, "Classification"),
        (TrainOptions(advprop=1.0), "AdversarialClassification"),
    ):
        with pytest.raises(StopError, match=f"^{wanted}$"):
            noisy_student(tiny_donor(), tiny_data(), unlabelled, SemiOptions(), options)


def test_several_passes_of_a_teacher_ask_for_no_patients():
    data = tiny_data()
    patients = np.arange(len(data.train_images))
    known = dataclasses.replace(data, train_patients=patients)
    assert len(repeated(known, 3).train_images) == 3 * len(patients)


def test_the_weight_rises_as_the_paper_says():
    updates = np.arange(0, 41)
    expected = np.exp(-5 * (1 - np.minimum(updates / 40, 1)) ** 2)
    np.testing.assert_allclose([float(ramp(u, 40.0)) for u in updates], expected, rtol=1e-5)
    assert float(ramp(100.0, 40.0)) == 1 and float(ramp(0.0, 0.0)) == 1


def test_batches_have_labelled_images_first_and_two_views_of_each():
    data, (unlabelled, _) = tiny_data(), quarters(50, seed=3)
    options = TrainOptions(batch_size=16, accumulate=2)
    seen = AugmentOptions(flip_x=0.5, brightness=0.2)
    donor = tiny_donor()
    inputs = PairedInputs(data, unlabelled, donor, MeanTeacher(4, options), seen, 7)
    orders = inputs.order(epoch=2)
    assert len(orders) == inputs.updates_per_epoch == 2
    batches = [numbers for order in orders for numbers in order]
    assert all((numbers[:4] < 96).all() and (numbers[4:] >= 96).all() for numbers in batches)
    # One pass over the unlabelled images, but for what fills no batch.
    passed = np.concatenate([numbers[4:] for numbers in batches])
    assert len(set(passed.tolist())) == len(passed) == 48
    pixels, targets = inputs.batch(batches[0], epoch=2, step=0, size=16)
    images = np.concatenate([data.train_images[batches[0][:4]], unlabelled[batches[0][4:] - 96]])
    first = augment(images, batches[0], seen, seed=7, epoch=2).numpy()
    np.testing.assert_allclose(pixels[:16], donor.preprocess(first), atol=1e-4)
    assert np.abs(pixels[:16].numpy() - pixels[16:].numpy()).max(axis=(1, 2, 3)).min() > 0.01
    np.testing.assert_array_equal(targets[:4], np.eye(4)[data.train_labels[batches[0][:4]]])
    assert not targets[4:].numpy().any()


@pytest.fixture(scope="module")
def teacher():
    """A trainer with an average, dropout off."""
    options = TrainOptions(epochs=2, batch_size=16, dropout=0.0, learning_rate=0.01, ema=0.9)
    return Trainer(tiny_donor(), MeanTeacher(4, options, SemiOptions(consistency=6.0)))


def batch_of(seed: int) -> tuple[tf.Tensor, tf.Tensor]:
    data, (unlabelled, _) = tiny_data(), quarters(48, seed=3)
    options = TrainOptions(batch_size=16)
    seen = AugmentOptions(flip_x=0.5, brightness=0.2)
    inputs = PairedInputs(data, unlabelled, tiny_donor(), MeanTeacher(4, options), seen, seed)
    return inputs.batch(inputs.order(0)[0][0], epoch=0, step=0, size=16)


def test_the_loss_is_that_of_the_labelled_images_and_the_distance_to_the_average(teacher):
    # The consistency rises over a quarter of the updates.
    teacher.start(tiny_donor(), 1, tiny_data(), 32)
    decay_seen = []
    averages = [value.numpy() for value in teacher.average.values]
    for update in range(4):
        pixels, targets = batch_of(update)
        # By hand: the student in training mode, then the average in its place.
        own = np.asarray(teacher.model(pixels[:16], training=True)).astype(float)
        weights = [v.numpy() for v in teacher.model.trainable_variables]
        for variable, value in zip(
            teacher.model.trainable_variables, teacher.average.values, strict=True
        ):
            variable.assign(value)
        other = np.asarray(teacher.model(pixels[16:], training=True)).astype(float)
        for variable, value in zip(teacher.model.trainable_variables, weights, strict=True):
            variable.assign(value)
        taught = teacher.objective.teach(teacher.model, pixels[16:])
        np.testing.assert_allclose(taught, other, atol=1e-4)
        known = -(targets[:4] * log_softmax(own[:4], axis=1)).numpy().sum(axis=1).mean()
        distance = ((softmax(own, axis=1) - softmax(other, axis=1)) ** 2).sum(axis=1).mean()
        weight = 6 * np.exp(-5 * (1 - update / 8) ** 2)
        loss = teacher.step.run([(pixels, targets)], 0.01)
        assert loss == pytest.approx(known + weight * distance, rel=1e-4)
        # The recurrence of the average, with its short memory at the start.
        teacher.average.update()
        decay = min(0.9, (1 + update) / (10 + update))
        decay_seen.append(decay)
        averages = [
            decay * average + (1 - decay) * variable.numpy()
            for average, variable in zip(averages, teacher.model.trainable_variables, strict=True)
        ]
        for average, value in zip(averages, teacher.average.values, strict=True):
            np.testing.assert_allclose(value, average, atol=1e-5)
    assert distance > 1e-5, "the teacher is another network by now"


def test_a_teacher_that_is_the_student_agrees_unless_its_masks_are_its_own(teacher):
    pixels, _ = batch_of(0)
    same = tf.concat([pixels[:16]] * 2, axis=0)
    nothing = tf.zeros((16, 4))

    def loss(trainer) -> float:
        trainer.start(tiny_donor(), 1, tiny_data(), 0)
        return trainer.step.run([(same, nothing)], 0.0)

    assert loss(teacher) == pytest.approx(0.0, abs=1e-9)
    options = dataclasses.replace(teacher.options, dropout=0.5)
    assert loss(Trainer(tiny_donor(), MeanTeacher(4, options))) > 1e-4


def test_whole_trainings_learn_and_keep_the_average(teacher):
    few, (unlabelled, _) = tiny_data(), quarters(64, seed=3)
    semi = teacher.objective.semi
    options = teacher.options
    assert MeanTeacher(4, dataclasses.replace(options, ema=0.0)).options.ema > 0
    fitted = mean_teacher(
        tiny_donor(), few, unlabelled, semi, options, PLAIN, trainer=teacher, seed=2
    )
    # What is kept are the average's weights.
    for variable, value in zip(
        teacher.model.trainable_variables, teacher.average.values, strict=True
    ):
        np.testing.assert_array_equal(variable.value, value)
    assert np.isfinite(fitted.history.epochs[-1].validation["loss"])
    with pytest.raises(ConfigError, match="Mean Teacher compares two views"):
        mean_teacher(tiny_donor(), few, unlabelled, semi, TrainOptions(mixup=0.2))
    with pytest.raises(ConfigError, match=r"set train\.batch_size to 2 or more\. Received: 1"):
        mean_teacher(tiny_donor(), few, unlabelled, semi, TrainOptions(batch_size=1))
    with pytest.raises(DataError, match="There are no unlabelled images"):
        mean_teacher(tiny_donor(), few, unlabelled[:0], semi, options, trainer=teacher)
