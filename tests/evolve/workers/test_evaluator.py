"""What evaluations and winners are made of, in one worker of this process."""

import dataclasses

import numpy as np
import pytest
from scipy import optimize, special
from worker_setups import AUGMENT, DONORS, MIXED, SEAT, SPACE, nano_data

from efn_compose.arch import HEAD_LAYER, arch_spec
from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.errors import EvaluationError
from efn_compose.evolve.options import FitnessAugmentOptions, FitnessOptions
from efn_compose.evolve.workers.evaluator import Evaluator, WorkerSetup
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask, FinishTask


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return nano_data(tmp_path_factory.mktemp("data"))


def _worker(data, augment=None, **fitness):
    options = FitnessOptions(**{"batch_size": 12} | fitness)
    parts = {} if augment is None else {"augment": augment}
    worker = WorkerSetup(DONORS[0].spec, DONORS[0].conventions, options, **parts).make_worker(data)
    worker.sit(SEAT)
    return worker


@pytest.fixture(scope="module")
def traced(data):
    return _worker(data, AUGMENT)


@pytest.fixture
def worker(traced):
    traced.sit(SEAT)
    return traced


def _set_rate(patch, worker, rate):
    """Train at another learning rate, which no trace depends on."""
    settings = dataclasses.replace(worker.network.settings, learning_rate=rate)
    patch.setattr(worker.network, "settings", settings)


@pytest.mark.slow
def test_images_that_are_right_are_as_many_as_the_accuracy_says(worker):
    answer = EvaluationTask(Recipe.genome(MIXED), seed=3, epochs=0.5, per_image=True).run(worker)
    bits = bin(int(answer.solved, 16)).count("1")
    count = len(worker.data.validation_labels)
    assert bits / count == pytest.approx(answer.scores["validation"]["accuracy"])
    assert EvaluationTask(Recipe.genome(MIXED), 3, 0.5).run(worker).solved == ""


@pytest.mark.slow
def test_losses_are_taken_at_the_temperature_that_suits_the_validation_images(worker):
    parts = ("validation", "test")
    answer = EvaluationTask(Recipe.genome(MIXED), seed=3, epochs=4, parts=parts).run(worker)

    def loss(inverse, part):
        logits, labels = worker.logits(part).astype(float), worker.labels(part)
        return -special.log_softmax(inverse * logits, 1)[np.arange(len(labels)), labels].mean()

    best = {
        part: optimize.minimize_scalar(loss, bounds=(0.02, 20), method="bounded", args=(part,))
        for part in parts
    }
    found = {part: answer.scores[part]["loss"] for part in parts}
    chosen = best["validation"].fun
    assert found["validation"] == pytest.approx(chosen, abs=1e-5)
    assert found["validation"] != pytest.approx(loss(1, "validation"), abs=1e-4)
    # Test images have no say in the temperature.
    expected = loss(best["validation"].x, "test")
    assert found["test"] == pytest.approx(expected, abs=1e-4)
    assert found["test"] > best["test"].fun + 1e-3


@pytest.mark.slow
def test_an_evaluation_trains_on_what_augmentation_makes_of_each_image(worker, data):
    """Seen by the training step itself; `test_equal_answers` says it is the same every time."""
    import tensorflow as tf

    from efn_compose.train.augment import augment

    assert FitnessAugmentOptions().is_off and not AUGMENT.is_off
    model = worker.network
    model.load(DONORS[0].tensors, seed=5)
    numbers = np.array([40, 3, 7], np.int32)
    places = tf.constant(numbers)
    seen = model._augmented(tf.constant(data.train_images), places, places, tf.constant(2))
    wanted = augment(data.train_images[numbers], numbers, AUGMENT, seed=5, epoch=2).numpy()
    np.testing.assert_array_equal(seen.numpy(), DONORS[0].preprocess(wanted))
    assert (wanted != data.train_images[numbers]).any(axis=(1, 2, 3)).all()


@pytest.mark.slow
def test_a_traced_network_serves_other_images(worker, data):
    """Test images that are called validation images score as test images."""
    parts = {"validation_images": data.test_images, "validation_labels": data.test_labels}
    swapped = dataclasses.replace(data, **parts)
    network = worker.network
    other = Evaluator(worker.setup, swapped, network.placement, network)
    other.sit(SEAT)
    recipe = Recipe.genome(MIXED)
    scores = EvaluationTask(recipe, 3, 0.5, ("validation",)).run(other).scores["validation"]
    assert scores == EvaluationTask(recipe, 3, 0.5, ("test",)).run(worker).scores["test"]


@pytest.mark.slow
def test_nothing_leaks_into_a_pure_donor(worker):
    EvaluationTask(Recipe.genome(MIXED), 1).run(worker)
    finished = FinishTask(Recipe.genome(SPACE.pure(1))).run(worker)
    for name, values in finished.items():
        np.testing.assert_array_equal(values, DONORS[1].tensors[name])


def test_donors_of_another_network_are_refused_and_leave_no_seat_behind(worker):
    other = GenomeSpace(arch_spec("lite0"), 2, "block")
    with pytest.raises(EvaluationError, match="of lite0, the worker's network is"):
        worker.sit(Seat(other, SEAT.donors))
    with pytest.raises(EvaluationError, match="without a seat"):
        FinishTask(Recipe.genome(SPACE.pure(1))).run(worker)
    worker.sit(SEAT)


@pytest.mark.slow
def test_statistics_are_written_for_what_was_averaged_before_it_became_a_donor(
    worker, data, monkeypatch
):
    import keras

    # So that two trainings of few steps part.
    _set_rate(monkeypatch, worker, 3e-1)
    first, second = (
        EvaluationTask(Recipe.genome(SPACE.pure(0)), seed, head_seed=1, keep_weights=True)
        .run(worker)
        .weights
        for seed in (1, 2)
    )
    mean = {name: (values + second[name]) / 2 for name, values in first.items()}
    worker.sit(Seat(SPACE, [mean, first]))
    found = [FinishTask(Recipe.genome(SPACE.pure(number))).run(worker) for number in range(2)]
    # What the last convolution gives for the training images, as Keras computes it.
    donor = DONORS[0].replace(tensors=found[0]).without_head()
    model = donor.build(input_shape=(32, 32, 3), include_top=False)
    body = keras.Model(model.inputs, model.get_layer("top_conv").output)
    output = body.predict(donor.preprocess(data.train_images), verbose=0).astype(np.float64)
    for role, value in (
        ("moving_mean", output.mean(axis=(0, 1, 2))),
        ("moving_variance", output.var(axis=(0, 1, 2))),
    ):
        np.testing.assert_allclose(found[0][f"top_bn/{role}"], value, rtol=1e-3, atol=1e-5)
        assert not np.allclose(mean[f"top_bn/{role}"], value, rtol=1e-3, atol=1e-5)
    for name in ("stem_conv/kernel", f"{HEAD_LAYER}/kernel"):
        np.testing.assert_array_equal(found[0][name], mean[name])
    # A network as it was trained has its statistics already.
    for name, values in first.items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_diverging_training_is_a_failed_evaluation(worker, monkeypatch):
    _set_rate(monkeypatch, worker, 1e30)
    found = EvaluationTask(Recipe.genome(MIXED), 1).run(worker)
    assert "diverged" in found.error
    assert found.loss is None


@pytest.mark.slow
def test_equal_weights_begin_with_equal_class_means_whatever_the_seed(data):
    worker = _worker(data, head_start="class_means", epochs=0.0)
    pure, mixed = (Recipe.genome(genome) for genome in (SPACE.pure(0), MIXED))
    tasks = [
        EvaluationTask(recipe, seed, 0.0, keep_weights=True)
        for recipe, seed in ((pure, 1), (mixed, 1), (pure, 2), (mixed, 2))
    ]
    first, other, *again = (task.run(worker) for task in tasks)
    kernel = f"{HEAD_LAYER}/kernel"
    for one, two in zip((first, other), again, strict=True):
        np.testing.assert_array_equal(one.weights[kernel], two.weights[kernel])
        assert one.loss == two.loss
    assert (first.weights[kernel] != other.weights[kernel]).any()
    # Weights that bring their classifier keep it.
    worker.load(first.weights | {kernel: 2 * first.weights[kernel]}, seed=3)
    kept = worker.network.tensors(with_head=True)[kernel]
    np.testing.assert_array_equal(kept, 2 * first.weights[kernel])


@pytest.mark.slow
def test_statistics_count_every_image_once_where_batches_are_not_full(data, monkeypatch):
    import keras

    # 48 training images in batches of at most 32: those of the stem are the mean over all.
    monkeypatch.setattr(
        "efn_compose.evolve.workers.evaluator.inference_batch", lambda spec, size: 32
    )
    worker, donor = _worker(data), DONORS[0]
    worker.load(donor.tensors, seed=1)
    worker.recalibrate()
    model = donor.build(include_top=False)
    stem = keras.Model(model.input, model.get_layer("stem_conv").output)
    maps = np.asarray(stem(donor.preprocess(data.train_images)))
    found = worker.network.tensors()["stem_bn/moving_mean"]
    np.testing.assert_allclose(found, maps.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
