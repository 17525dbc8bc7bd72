"""What a training asks of an objective, and that it asks nothing of classes."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from repository import ROOT
from tiny_recipe import quarters, tiny_data, tiny_donor

from efn_compose.errors import ConfigError, DataError, ResumeMismatchError
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.objectives.objective import Deciding
from efn_compose.train.recipe import (
    Classification,
    History,
    Objective,
    Trainer,
    TrainingData,
    TrainOptions,
    fit,
)
from efn_compose.train.recipe.fit import fit_inputs
from efn_compose.train.recipe.history import EpochRecord
from efn_compose.train.recipe.inputs import Inputs

# Whichever test comes first builds the networks of all.
pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "howto" / "objective.md"


def coloured(count, seed=0):
    """Return images 16 x 16 of one random colour each, with noise."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(20, 200, (count, 1, 1, 3))
    return (colours + rng.integers(0, 50, (count, 16, 16, 3))).astype(np.uint8)


@pytest.fixture(scope="module")
def page():
    """The names of the page's example, run on a tiny network and images of many colours."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    train, validation, images = np.split(coloured(864), [800, 832])
    names = {"donor": tiny_donor(), "data": TrainingData.of_images(train, validation)}
    names["images"] = images
    exec(compile(code, PAGE.name, "exec"), names)
    return names


def test_the_pages_example_learns_what_it_is_asked_for(page):
    wanted = page["images"].mean(axis=(1, 2)) / 255
    found = page["colours"]
    assert found.shape == (32, 3)
    # Far nearer than the best constant answer.
    constant = ((wanted - wanted.mean(axis=0)) ** 2).sum()
    assert ((found - wanted) ** 2).sum() < constant / 4
    losses = [record.validation["loss"] for record in page["fitted"].history.epochs]
    assert losses[-1] < losses[0]


def test_its_head_stays_out_of_the_weight_file_which_is_a_donor_like_any(page, tmp_path):
    donor = page["fitted"].donor
    assert donor.classes is None and donor.tensors.keys() == tiny_donor().tensors.keys()
    assert any((donor.tensors[n] != values).any() for n, values in tiny_donor().tensors.items())


def test_the_page_names_every_question_that_is_asked():
    named = set(re.findall(r"`(\w+)[`(]", PAGE.read_text(encoding="utf-8")))
    asked = {name for name in vars(Objective) if not name.startswith("_")}
    assert asked - named == {"build", "start", "head_arrays"}


class Probe(Objective):
    """Keeps what it is given; learns nothing."""

    views = 3

    def outputs(self, backbone):
        return keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)

    def targets(self, data):
        return np.arange(2 * len(data.train_images), dtype=np.int32).reshape(-1, 2, 1)

    @property
    def target_spec(self):
        return tf.TensorSpec((None, 2, 1), tf.int32)

    def loss(self, model, pixels, targets, updates):
        # 0 times the network, so that there is a gradient.
        return 0 * tf.reduce_sum(model(pixels, training=True)) + updates * tf.cast(
            tf.shape(targets)[0], tf.float32
        )

    def scores(self, predict, data):
        return {"loss": float(predict(data.validation_images).shape[1])}


@pytest.fixture(scope="module")
def probing():
    """A traced trainer that learns nothing."""
    return Trainer(tiny_donor(), Probe(TrainOptions(batch_size=32, epochs=1)))


def test_views_are_draws_of_their_own_and_targets_may_have_any_shape():
    data, seen = tiny_data(), AugmentOptions(flip_x=0.5, brightness=0.3)
    objective = Probe(TrainOptions(batch_size=8, epochs=1))
    inputs = Inputs(data, tiny_donor(), objective, seen, 5)
    numbers = inputs.order(0)[0][0]
    pixels, targets = inputs.batch(numbers, 0, 0, 16)
    assert pixels.shape == (24, 16, 16, 3)
    np.testing.assert_array_equal(targets[:, :, 0], np.stack([2 * numbers, 2 * numbers + 1], 1))
    first = augment(data.train_images[numbers], numbers, seen, seed=5).numpy()
    np.testing.assert_allclose(pixels[:8], tiny_donor().preprocess(first), atol=1e-4)
    views = pixels.numpy().reshape(3, 8, -1)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(views[one] - views[other]).max(axis=1).min() > 0.01


def test_a_loss_can_read_how_many_updates_were_made_even_where_they_are_accumulated():
    options = TrainOptions(batch_size=8, epochs=1, accumulate=2)
    trainer = Trainer(tiny_donor(), Probe(options))
    inputs = Inputs(tiny_data(), tiny_donor(), trainer.objective, AugmentOptions(), 1)
    for _ in range(2):  # and a training forgets the one before
        trainer.start(tiny_donor(), 1, tiny_data(), 6)
        losses = [
            trainer.step.run([inputs.batch(numbers, 0, 0, 16) for numbers in order], 0.0)
            for order in inputs.order(0)
        ]
        assert losses == pytest.approx([0, 1, 2, 3, 4, 5])


def test_updates_are_counted_on_after_a_warm_up():
    options = TrainOptions(batch_size=8, epochs=2, warm_up_epochs=1)
    trainer = Trainer(tiny_donor(), Probe(options))
    inputs = Inputs(tiny_data(), tiny_donor(), trainer.objective, AugmentOptions(), 1)
    each = inputs.updates_per_epoch
    for _ in range(2):
        trainer.start(tiny_donor(), 1, tiny_data(), 3 * each)
        losses = [
            step.run([inputs.batch(order[0], 0, 0, 16)], 0.0)
            for epoch, step in enumerate((trainer.warm_up, trainer.step, trainer.step))
            for order in inputs.order(epoch)
        ]
        assert losses == pytest.approx(list(range(3 * each)))


def test_a_whole_training_asks_for_no_classes():
    options = TrainOptions(batch_size=8, epochs=2, warm_up_epochs=1, recalibrate_images=0, ema=0.9)
    data = TrainingData.of_images(quarters(24)[0], quarters(8)[0])
    fitted = fit(tiny_donor(), data, objective=Probe(options))
    # Its score is the width of the pooled features, its head has nothing to keep.
    assert [record.validation for record in fitted.history.epochs] == [{"loss": 32.0}] * 3
    assert fitted.donor.classes is None and not fitted.head


def test_the_direction_of_a_score_decides_which_epoch_is_best():
    records = [
        EpochRecord(number, "train", 16, 0.1, 1.0, {"loss": loss, "accuracy": accuracy})
        for number, loss, accuracy in ((1, 0.5, 0.7), (2, 0.4, 0.9), (3, 0.4, 0.9), (4, 0.9, 0.1))
    ]
    history = History(records)
    for monitor in ("loss", "accuracy"):
        objective = Classification(2, TrainOptions(monitor=monitor))
        assert history.best_of(objective.deciding) == 2


def test_what_does_not_fit_is_refused_before_anything_is_built():
    data, options = tiny_data(), TrainOptions(epochs=1)
    with pytest.raises(ConfigError, match="3 classes, the data has 4"):
        fit(tiny_donor(), data, objective=Classification(3, options))
    with pytest.raises(ConfigError, match="other options"):
        fit(tiny_donor(), data, TrainOptions(epochs=2), objective=Classification(4, options))
    with pytest.raises(ConfigError, match="has its own"):
        fit(tiny_donor(), data, metric="auc", objective=Classification(4, options))
    with pytest.raises(ConfigError, match="'accuracy' or 'auc'"):
        Classification(4, options, "f1")


def test_predicting_no_images_has_the_shape_of_predicting_some():
    trainer = Trainer(tiny_donor(), Classification(4, TrainOptions()))
    assert trainer.predict(quarters(4)[0][:0]).shape == (0, 4)


def test_a_score_that_decides_must_be_one(probing, monkeypatch):
    monkeypatch.setattr(Probe, "deciding", Deciding("iou", lower_is_better=False))
    with pytest.raises(ConfigError, match=r"Probe: 'iou' decides .* its scores: loss"):
        fit(tiny_donor(), tiny_data(), trainer=probing)


def test_inputs_and_trainer_are_of_one_objective():
    one, other = (Probe(TrainOptions(batch_size=8, epochs=1)) for _ in range(2))
    inputs = Inputs(tiny_data(), tiny_donor(), one, AugmentOptions(), 1)
    with pytest.raises(ConfigError, match="another objective"):
        fit_inputs(tiny_donor(), inputs, Trainer(tiny_donor(), other))


def test_a_killed_training_is_not_gone_on_with_for_another_purpose(probing, tmp_path):
    data, options = tiny_data(), probing.options

    class Other(Probe):
        pass

    state = tmp_path / "state.npz"
    fit(tiny_donor(), data, trainer=probing, state_file=state)
    with pytest.raises(ResumeMismatchError, match="objective: there Probe, now Other"):
        fit(tiny_donor(), data, objective=Other(options), state_file=state)
    with pytest.raises(ResumeMismatchError, match="of another training"):
        fit(tiny_donor(), data, options, state_file=state)


class Masked(Objective):
    """Lets the moved masks through as targets."""

    uses_masks = True
    views = 2

    def outputs(self, backbone):
        return backbone.output

    def targets(self, data):
        return np.zeros((len(data.train_images), 0), np.float32)

    def prepare(self, seen):
        return seen.pixels, seen.masks

    def loss(self, model, pixels, targets, updates):
        raise NotImplementedError

    def scores(self, predict, data):
        raise NotImplementedError


def masked_data():
    """Return images whose red tells their mask."""
    masks = np.random.default_rng(0).integers(0, 3, (32, 2, 2)).repeat(8, 1).repeat(8, 2)
    images = np.stack([80 * masks] * 3, axis=-1).astype(np.uint8)
    names = ("background", "skin", "lesion")
    empty = np.full(32, -1)
    return TrainingData(
        (), images, empty, images[:4], empty[:4], masks.astype(np.uint8), None, names
    )


@pytest.mark.parametrize("size", [8, 16])
def test_masks_reach_the_objective_moved_as_each_view_is_and_resized_with_it(size):
    options = TrainOptions(batch_size=16, epochs=2, sizes=(8, 16))
    objective, seen = Masked(options), AugmentOptions(flip_x=0.5, flip_y=0.5)
    inputs = Inputs(masked_data(), tiny_donor(), objective, seen, 3)
    pixels, masks = inputs.batch(inputs.order(0)[0][0], 0, 0, size)
    assert pixels.shape == (32, size, size, 3) and masks.shape == (32, size, size)
    scaling = tiny_donor().conventions.preprocessing
    red = (pixels.numpy() * scaling.std + scaling.mean)[..., 0]
    # Away from the borders between two classes, where antialiasing mixes.
    inner = np.ix_(range(32), *[[1, size // 2 - 2, size // 2 + 1, size - 2]] * 2)
    np.testing.assert_allclose(red[inner], 80.0 * masks.numpy()[inner], atol=1)


def test_what_masks_cannot_do_is_refused():
    data, donor = masked_data(), tiny_donor()
    with pytest.raises(ConfigError, match="augmix"):
        Inputs(data, donor, Masked(TrainOptions(augmix=1.0)), AugmentOptions(), 1)
    with pytest.raises(DataError, match="needs masks"):
        Inputs(tiny_data(), donor, Masked(TrainOptions()), AugmentOptions(), 1)
    images, masks = data.train_images, data.train_masks
    with pytest.raises(DataError) as error:
        TrainingData((), images, np.zeros(32), images[:2], np.full(2, -1), masks, masks, ("a", "b"))
    for words in (
        "labels outside",
        "the value 2, allowed are 0 to 1",
        "validation: expected masks",
    ):
        assert words in str(error.value)
    with pytest.raises(ConfigError, match="32 training and 4 validation images have no label"):
        Classification(0).check(data)


def test_images_without_a_label_have_no_share_of_any_class():
    labels = np.array([1, -1, 0])
    data = TrainingData(("a", "b"), quarters(3)[0], labels, quarters(3)[0], labels)
    assert np.asarray(data.targets).tolist() == [[0, 1], [0, 0], [1, 0]]
    assert (data.unlabelled("train"), data.unlabelled("validation")) == (1, 1)
