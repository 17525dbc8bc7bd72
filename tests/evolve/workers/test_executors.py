"""One contract for all executors: every task answered once, answers equal, failures are answers."""

import nano_tasks
import numpy as np
import pytest
from nano_run import write_nano_experiment
from nano_tasks import Bomb, Raiser
from random_donors import TINY, search_donors

from efn_compose.arch import HEAD_LAYER
from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.data import DataOptions, load_data
from efn_compose.evolve.options import ExecutorOptions, FitnessAugmentOptions, FitnessOptions
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.evolve.workers.ray_executor import RayExecutor
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.serial_executor import SerialExecutor
from efn_compose.evolve.workers.tasks import EvaluationTask, FinishTask, SiblingTask

DONORS = search_donors(TINY)
SPACE = GenomeSpace(DONORS[0].spec, 2, "block")
SEAT = Seat(SPACE, [donor.tensors for donor in DONORS])
AUGMENT = FitnessAugmentOptions(flip_x=0.5, rotation=20, contrast=0.2, grid=0.5, holes=1)
MIXED = tuple(n % 2 for n in range(len(SPACE.loci)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_nano_experiment(folder)
    options = DataOptions(
        source=f"npz:{folder / 'images.npz'}",
        size=32,
        train_images=48,
        validation_images=36,
        test_images=36,
    )
    return load_data(options, 1)


def _setup():
    # Augmented, so that the contract holds with it; other tests run without.
    return WorkerSetup(
        DONORS[0].spec, DONORS[0].conventions, FitnessOptions(batch_size=12), augment=AUGMENT
    )


@pytest.fixture(scope="module")
def serial(data):
    return SerialExecutor(_setup(), data, ExecutorOptions())


@pytest.fixture(scope="module")
def ray_executor(data):
    import ray

    # Workers do not see this folder: send the tasks defined here whole.
    ray.cloudpickle.register_pickle_by_value(nano_tasks)
    executor = RayExecutor(_setup(), data, ExecutorOptions(workers=2, hang_seconds=900))
    yield executor
    executor.close()
    assert not ray.is_initialized()


def _tasks():
    genomes = [SPACE.pure(0), SPACE.pure(1), MIXED, SPACE.pure(0)]
    return [
        EvaluationTask(Recipe.genome(genome), seed, parts=("validation", "test"))
        for seed in (1, 2)
        for genome in genomes
    ] + [EvaluationTask(Recipe.average(2), 1)]


def _scores(executor, tasks):
    outcomes = dict(executor.run(tasks, SEAT))
    assert sorted(outcomes) == list(range(len(tasks)))
    assert all(outcome.error is None for outcome in outcomes.values())
    return [outcomes[n].value.scores for n in range(len(tasks))]


def test_the_same_candidate_scores_identically_whatever_came_before(serial):
    first = _scores(serial, _tasks())
    assert first[0] == first[3], "same genome, same seed, another candidate in between"
    assert first[0] != first[4], "another seed"
    assert _scores(serial, list(reversed(_tasks()))) == list(reversed(first))


def test_an_evaluation_trains_on_what_augmentation_makes_of_each_image(serial, data):
    """Seen by the training step itself; the contract above says it is the same every time."""
    import tensorflow as tf

    from efn_compose.train.augment import augment

    assert FitnessAugmentOptions().is_off and not AUGMENT.is_off
    model = serial._worker.network
    model.load(DONORS[0].tensors, seed=5)
    numbers = np.array([40, 3, 7], np.int32)
    seen = model._augmented(tf.constant(data.train_images), tf.constant(numbers), tf.constant(2))
    wanted = augment(data.train_images[numbers], numbers, AUGMENT, seed=5, epoch=2).numpy()
    np.testing.assert_array_equal(seen.numpy(), DONORS[0].preprocess(wanted))
    assert (wanted != data.train_images[numbers]).any(axis=(1, 2, 3)).all()


@pytest.mark.slow
def test_workers_give_the_same_scores_as_this_process(serial, ray_executor):
    assert _scores(ray_executor, _tasks()) == _scores(serial, _tasks())


@pytest.mark.slow
def test_siblings_and_winners_are_the_same_on_workers(serial, ray_executor):
    tasks = [SiblingTask(0, 5, 1, 2, 9), FinishTask(Recipe.genome(MIXED))]
    ours, theirs = dict(serial.run(tasks, SEAT)), dict(ray_executor.run(tasks, SEAT))
    for number in range(2):
        assert ours[number].value.keys() == theirs[number].value.keys()
        for name, values in ours[number].value.items():
            np.testing.assert_array_equal(values, theirs[number].value[name])


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_task_asked_again(ray_executor, tmp_path):
    tasks = [*_tasks(), Bomb(str(tmp_path / "armed"))]
    outcomes = dict(ray_executor.run(tasks, SEAT))
    assert sorted(outcomes) == list(range(len(tasks)))
    assert outcomes[len(tasks) - 1].value == "survived"
    assert outcomes[len(tasks) - 1].attempts == 2
    assert all(outcomes[n].error is None for n in range(len(tasks) - 1))


def test_an_exception_is_an_answer(serial):
    outcomes = dict(serial.run([Raiser(), _tasks()[0]], SEAT))
    assert "ValueError: no such candidate" in outcomes[0].error
    assert outcomes[1].error is None


def test_nothing_leaks_into_a_pure_donor(serial):
    finished = dict(serial.run([FinishTask(Recipe.genome(SPACE.pure(1)))], SEAT))[0].value
    for name, values in finished.items():
        np.testing.assert_array_equal(values, DONORS[1].tensors[name])


def test_statistics_are_written_for_what_was_averaged_before_it_became_a_donor(data):
    import keras

    # A large rate, so that two trainings of few steps part.
    setup = WorkerSetup(
        DONORS[0].spec, DONORS[0].conventions, FitnessOptions(batch_size=12, learning_rate=3e-1)
    )
    executor = SerialExecutor(setup, data, ExecutorOptions())
    tasks = [
        EvaluationTask(Recipe.genome(SPACE.pure(0)), seed, head_seed=1, keep_weights=True)
        for seed in (1, 2)
    ]
    trained = [outcome.value.weights for _, outcome in executor.run(tasks, SEAT)]
    mean = {name: (values + trained[1][name]) / 2 for name, values in trained[0].items()}
    finish = [FinishTask(Recipe.genome(SPACE.pure(number))) for number in range(2)]
    found = {
        number: outcome.value
        for number, outcome in executor.run(finish, Seat(SPACE, [mean, trained[0]]))
    }
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
    for name, values in trained[0].items():
        np.testing.assert_allclose(found[1][name], values, rtol=1e-5, atol=1e-7)


def test_a_diverging_training_is_a_failed_evaluation(data):
    setup = WorkerSetup(
        DONORS[0].spec, DONORS[0].conventions, FitnessOptions(batch_size=12, learning_rate=1e30)
    )
    executor = SerialExecutor(setup, data, ExecutorOptions())
    outcome = dict(executor.run([_tasks()[0]], SEAT))[0]
    assert outcome.error is None
    assert "diverged" in outcome.value.error
    assert outcome.value.loss is None
