"""Images of one class changed into another: partners, memory, and the loss by hand."""

import numpy as np
import pytest
import tensorflow as tf
from image_calls import count_image_calls
from tiny_recipe import quarters, tiny_donor

from efn_compose.errors import DataError
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe import Trainer
from efn_compose.train.selfsup import PretrainOptions
from efn_compose.train.selfsup.adversarial.critic import critic_loss, gradient_penalty
from efn_compose.train.selfsup.adversarial.image_buffer import ImageBuffer
from efn_compose.train.selfsup.adversarial.translator import build_translator, translate
from efn_compose.train.selfsup.methods.cyclegan import CycleGan
from efn_compose.train.selfsup.positives import other_partners

# Whichever test comes first builds the network of all.
pytestmark = pytest.mark.slow
OPTIONS = PretrainOptions(
    methods=("cyclegan",), between=("ill", "healthy"), epochs=2, batch_size=8, learning_rate=0.002
)


def data(classes=("healthy", "ill"), count=32):
    images, labels = quarters(count + 16)
    unknown = np.full(16, -1, np.int32)
    return TrainingData(
        classes, images[:count], (labels[:count] == 0).astype(np.int32), images[count:], unknown
    )


@pytest.fixture(scope="module")
def trainer():
    return Trainer(tiny_donor(), CycleGan(OPTIONS))


def started(trainer):
    trainer.start(tiny_donor(), 1, data(), 8)
    return trainer.objective


def test_every_image_stands_beside_one_of_the_other_class():
    is_second = np.arange(13) % 4 == 0
    for epoch in (0, 1):
        partners = other_partners(is_second, 1, epoch)
        assert (is_second[partners] != is_second).all()
        taken = np.bincount(partners, minlength=13)
        for side in (False, True):
            assert np.ptp(taken[is_second == side]) <= 1
    assert not np.array_equal(other_partners(is_second, 1, 0), other_partners(is_second, 1, 1))


def test_half_of_what_a_critic_sees_is_remembered_once_there_is_some():
    buffer, kept = ImageBuffer(), {}
    buffer.begin(2)
    for update in range(40):
        new = np.full((8, 2, 2, 3), np.arange(8)[:, None, None, None] + 10 * update, np.float32)
        found = buffer.mixed(tf.constant(new), tf.constant([3, update])).numpy()[:, 0, 0, 0]
        places = tf.random.experimental.stateless_shuffle(tf.range(50), [3, update]).numpy()[:4]
        wanted = [kept.get(place, new[n, 0, 0, 0]) for n, place in enumerate(places)]
        kept |= {place: new[n, 0, 0, 0] for n, place in enumerate(places)}
        assert found.tolist() == [*wanted, *new[4:, 0, 0, 0]]
    assert len(kept) > 40 and (found[:4] < 390).any()
    buffer.begin(3)
    assert (
        buffer.shape == (50, 3, 3, 3)
        and not buffer.numpy().any()
        and not buffer.taken.numpy().any()
    )


def test_a_translator_that_says_nothing_changes_nothing_and_any_size_works():
    translator = build_translator("generator_x")
    pixels = np.random.default_rng(0).uniform(0.1, 0.9, (3, 13, 18, 3)).astype(np.float32)
    changed = translate(translator, tf.constant(pixels)).numpy()
    assert changed.shape == pixels.shape and np.abs(changed - pixels).max() > 1e-3
    alone = translate(translator, tf.constant(pixels[1:2])).numpy()
    np.testing.assert_allclose(alone[0], changed[1], atol=1e-5)
    last = translator.layers[-1]
    last.kernel.assign(tf.zeros_like(last.kernel))
    np.testing.assert_allclose(translate(translator, tf.constant(pixels)), pixels, atol=1e-6)


def test_the_loss_is_that_of_the_paper_image_by_image(trainer):
    objective = started(trainer)
    rng = np.random.default_rng(2)
    # Of the other way round than the sides: targets say which image is of which class.
    targets = np.array([[1.0], [0.0], [0.0]], np.float32)
    grey = rng.uniform(30, 220, (6, 16, 16, 3)).astype(np.float32)
    scaled = np.asarray(objective.scaled(grey), np.float32)
    found = float(
        objective.loss(trainer.model, tf.constant(scaled), tf.constant(targets), tf.constant(0.0))
    )
    sides = [[], []]
    for number in range(3):
        for image, side in (
            (number, int(targets[number, 0])),
            (number + 3, 1 - int(targets[number, 0])),
        ):
            sides[side].append(grey[image : image + 1] / 255)

    def changed(side, image):
        return translate(objective.translators[side], tf.constant(image)).numpy()

    def said(side, image):
        return objective.critics[side](objective.scaled(255 * image), training=False).numpy()

    expected = 0.0
    for side in (0, 1):
        for own, other in zip(sides[side], sides[1 - side], strict=True):
            made = changed(side, other)
            expected += 10 * 2 * np.abs(changed(1 - side, made) - other).mean()
            expected += 5 * 2 * np.abs(changed(side, own) - own).mean()
            expected += np.maximum(1 - said(side, own), 0).mean()
            expected += np.maximum(1 + said(side, made), 0).mean() - said(side, made).mean()
            slope = gradient_penalty(
                objective.critics[side], tf.constant(objective.scaled(255 * own), tf.float32)
            )
            expected += 16 * 16 * 0.0002 / 64 / 2 * float(slope[0])
    assert found == pytest.approx(expected, rel=1e-4)


def test_translators_learn_nothing_of_what_critics_lose(trainer):
    objective = started(trainer)
    made = tf.random.normal((2, 16, 16, 3), seed=1)
    with tf.GradientTape() as tape:
        tape.watch(made)
        loss = critic_loss(objective.critics[0], tf.zeros((2, 16, 16, 3)), made)
    assert tape.gradient(loss, made) is None


def test_critics_and_translators_learn_of_the_loss(trainer):
    objective = started(trainer)
    pixels = tf.random.normal((4, 16, 16, 3), seed=1)
    with tf.GradientTape() as tape:
        loss = objective.loss(trainer.model, pixels, tf.constant([[0.0], [1.0]]), tf.constant(0.0))
    kernels = [v for v in trainer.model.trainable_variables if v.name.endswith("kernel")]
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
    assert len(kernels) > 30
    for kernel, gradient in zip(kernels, gradients, strict=True):
        assert gradient is not None and np.abs(gradient).max() > 0, kernel.path


def test_pictures_show_images_changed_and_changed_back(trainer):
    objective = started(trainer)
    rows = objective.pictures(data().train_images)
    assert [row.shape for row in rows] == [(8, 16, 16, 3)] * 6
    np.testing.assert_array_equal(rows[0], data().train_images[data().train_labels == 1][:8])
    np.testing.assert_array_equal(rows[1], objective.translated(rows[0], 1))
    np.testing.assert_array_equal(rows[2], objective.translated(rows[1], 0))


def test_classes_that_are_not_found_are_named():
    with pytest.raises(
        DataError, match=r"two of the classes healthy, sick\. Received: ill, healthy"
    ):
        CycleGan(OPTIONS).check(data(("healthy", "sick")))


def test_an_image_of_neither_class_or_a_single_one_of_a_class_is_refused():
    good = data(("healthy", "ill", "other"))
    CycleGan(OPTIONS).check(good)
    for label, count in ((2, 3), (1, 1)):
        labels = np.zeros(32, np.int32)
        labels[:count] = label
        wrong = TrainingData(
            good.class_names,
            good.train_images,
            labels,
            good.validation_images,
            good.validation_labels,
        )
        with pytest.raises(DataError, match="2 images or more of each class"):
            CycleGan(OPTIONS).check(wrong)


def test_what_is_watched_is_that_of_single_images_and_no_network_keeps_its_maps(
    trainer, monkeypatch
):
    calls = count_image_calls(monkeypatch)
    objective = started(trainer)
    found = objective.scores(trainer.predict, data())
    assert not calls
    gaps, slopes = [], []
    for side, critic in enumerate(objective.critics):
        real = data().train_images[data().train_labels == 1 - side]
        made = objective.translated(data().train_images[data().train_labels == side], side)
        said = [
            [np.mean(critic(objective.scaled(one[None].astype(np.float32)))) for one in part]
            for part in (real, made)
        ]
        gaps.append(np.mean(said[0]) - np.mean(said[1]))
        pixels = tf.constant(objective.scaled(real.astype(np.float32)), tf.float32)
        slopes.append(np.mean(gradient_penalty(critic, pixels)))
    assert found["critic_gap"] == pytest.approx(max(gaps), abs=1e-5)
    assert found["penalty"] == pytest.approx(np.mean(slopes), rel=1e-4)


def test_the_frozen_classifier_knows_a_rare_class_as_well_as_a_frequent_one(trainer):
    rng = np.random.default_rng(5)
    is_ill = np.arange(200) % 10 == 0
    level = np.where(is_ill, 110, 90) + rng.normal(0, 12, 200)
    images = level[:, None, None, None] + rng.normal(0, 5, (200, 16, 16, 3))
    images = np.clip(images, 0, 255).astype(np.uint8)
    nothing = np.full(32, -1, np.int32)
    rare = TrainingData(("healthy", "ill"), images, is_ill.astype(np.int32), images[:32], nothing)
    trainer.start(tiny_donor(), 1, rare, 8)
    # The first of `between` is "ill".
    is_healthy = trainer.objective._taken_for_second(images)
    assert np.mean(is_healthy[~is_ill]) > 0.6 and np.mean(~is_healthy[is_ill]) > 0.6
