"""What the recipe asks of an objective, and that it asks nothing of classes."""

import ast
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from repository import ROOT
from tiny_recipe import quarters, tiny_data, tiny_donor

from efn_compose.errors import ConfigError
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.recipe import (
    Classification,
    History,
    Objective,
    Trainer,
    TrainOptions,
    fit,
)
from efn_compose.train.recipe.history import EpochRecord
from efn_compose.train.recipe.inputs import Inputs

PAGE = ROOT / "docs" / "howto" / "objective.md"
RECIPE = ROOT / "efn_compose" / "train" / "recipe"


@pytest.fixture(scope="module")
def page():
    """The names of the page's example, run on a tiny network."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names = {"donor": tiny_donor(), "data": tiny_data(), "images": quarters(40, seed=7)[0]}
    exec(compile(code, PAGE.name, "exec"), names)
    return names


def test_the_pages_example_learns_what_it_is_asked_for(page):
    wanted = page["images"].mean(axis=(1, 2)) / 255
    found = page["colours"]
    assert found.shape == (40, 3)
    # Far nearer than the best constant answer.
    constant = ((wanted - wanted.mean(axis=0)) ** 2).sum()
    assert ((found - wanted) ** 2).sum() < constant
    losses = [record.validation["loss"] for record in page["fitted"].history.epochs]
    assert losses[-1] < losses[0]


def test_its_head_stays_out_of_the_weight_file_which_is_a_donor_like_any(page, tmp_path):
    donor = page["fitted"].donor
    assert donor.classes is None and donor.tensors.keys() == tiny_donor().tensors.keys()
    assert any((donor.tensors[n] != values).any() for n, values in tiny_donor().tensors.items())


def test_the_page_names_every_question_that_is_asked():
    named = set(re.findall(r"`(\w+)[`(]", PAGE.read_text(encoding="utf-8")))
    asked = {name for name in vars(Objective) if not name.startswith("_")}
    assert asked - named == {"build", "start", "warm_up_variables", "head_arrays"}


def test_the_recipe_knows_no_classes():
    """Of the engine, only `fit` names an objective: the one it takes where none is given."""
    for path in RECIPE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        suspicious = {n for n in names if re.search(r"class(es|_)|label|logit|softmax", n)}
        allowed = {"classes"} if path.name in ("fit.py", "optimizers.py") else set()
        assert suspicious <= allowed | {"optimizer_classes"}, (path.name, suspicious)


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
