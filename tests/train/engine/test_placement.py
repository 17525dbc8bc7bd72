"""Precision, loss scaling and strategies: what no GPU or TPU is here to show, on fake devices."""

import numpy as np
import pytest
import tensorflow as tf
from random_donors import TINY, search_donors

from efn_compose.compose import GenomeSpace, Recipe
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers import devices
from efn_compose.evolve.workers.devices import Device
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask
from efn_compose.train.engine import placement
from efn_compose.train.engine.adam import FusedAdam
from efn_compose.train.engine.options import DeviceOptions
from efn_compose.train.engine.placement import Placement
from efn_compose.train.resident.feed import held

DONORS = search_donors(TINY)
SPACE = GenomeSpace(DONORS[0].spec, 2, "block")


@pytest.fixture(scope="module")
def data():
    from types import SimpleNamespace

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 16).astype(np.int32)
    images = rng.integers(0, 90, (48, 32, 32, 3))
    for label in range(3):
        images[labels == label, :, 10 * label : 10 * label + 12] += 120
    images = images.astype(np.uint8)
    parts = {f"{part}_images": images for part in ("train", "validation", "test")}
    parts |= {f"{part}_labels": labels for part in ("train", "validation", "test")}
    return SimpleNamespace(classes=3, size=32, **parts)


def _evaluation(setup, data, device="cpu"):
    evaluator = setup.make_worker(data, Device(device))
    evaluator.sit(Seat(SPACE, [donor.tensors for donor in DONORS]))
    found = EvaluationTask(Recipe.genome(SPACE.pure(0)), 1).run(evaluator)
    assert found.error is None
    return found, evaluator


def _setup(precision="auto"):
    fitness, compute = FitnessOptions(batch_size=12, dropout=0.0), DeviceOptions(precision)
    return WorkerSetup(DONORS[0].spec, DONORS[0].conventions, fitness, compute=compute)


@pytest.fixture(scope="module")
def plain(data):
    return _evaluation(_setup(), data)[0]


@pytest.mark.slow
def test_mixed_precision_trains_what_float32_trains(plain, data):
    found, evaluator = _evaluation(_setup(precision="mixed_float16"), data)
    model = evaluator.network.model
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.get_layer("stem_conv").compute_dtype == "float16"
    assert found.train_loss == pytest.approx(plain.train_loss, rel=0.05)
    assert found.train_loss != plain.train_loss


@pytest.mark.slow
def test_a_tpu_worker_trains_under_its_strategy(plain, data, monkeypatch):
    """With a mirrored strategy of one processor in place of the chip."""
    asked = []
    monkeypatch.setattr(
        tf.distribute.cluster_resolver, "TPUClusterResolver", lambda tpu: asked.append(tpu)
    )
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda _: None)
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda _: "topology")
    monkeypatch.setattr(
        tf.tpu.experimental.DeviceAssignment,
        "build",
        lambda topology, num_replicas: asked.append((topology, num_replicas)),
    )
    mirrored = tf.distribute.MirroredStrategy(["CPU:0"])
    monkeypatch.setattr(
        tf.distribute, "TPUStrategy", lambda _, experimental_device_assignment: mirrored
    )
    devices._tpu_strategy.cache_clear()
    try:
        found, evaluator = _evaluation(_setup("float32"), data, "tpu")
    finally:
        devices._tpu_strategy.cache_clear()
    assert asked == ["local", ("topology", 1)]
    assert evaluator.network.placement.strategy is mirrored
    assert found.loss == pytest.approx(plain.loss, rel=1e-2)
    assert Placement("tpu").policy == "mixed_bfloat16"


def test_several_workers_on_a_gpu_get_their_share_and_repeat_themselves(monkeypatch):
    asked = []
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        monkeypatch.setattr(tf.config.threading, name, lambda _: None)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["card"])
    monkeypatch.setattr(
        tf.config,
        "set_logical_device_configuration",
        lambda card, shares: asked.append((card, shares[0].memory_limit)),
    )
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: asked.append("deterministic")
    )
    assert devices.prepare_device(Device("gpu", 3500), threads=7) is None
    assert asked == [("card", 3500), "deterministic"]
    assert Placement("gpu").policy == "mixed_float16"


@pytest.mark.parametrize(
    ("device", "count", "on_device"), [("gpu", 24, 24), ("gpu", 26, 2), ("cpu", 26, 26)]
)
def test_images_that_would_fill_a_gpu_stay_in_main_memory(monkeypatch, device, count, on_device):
    """A quarter of the card holds 25 of these images; of more, a step brings those it wants."""
    images = np.zeros((count, 16, 16, 3), np.uint8)
    monkeypatch.setattr(placement, "accelerator_bytes", lambda: 100.0 * images[0].nbytes)
    (chunk,) = held(images, Placement(device)).chunks(np.array([[3, 1]]))
    assert len(chunk.images) == on_device


def test_adam_is_the_published_one_and_leaves_overflowing_steps_out():
    rng = np.random.default_rng(0)
    start = rng.normal(size=5)
    variable = tf.Variable(start, dtype=tf.float32)
    adam = FusedAdam([variable], is_scaled=True)
    step = tf.function(lambda gradient: adam.apply([gradient], tf.constant(0.1)))
    scale = float(adam.scaled(tf.constant(1.0)))
    step(tf.constant([np.inf, 0, 0, 0, 0], tf.float16))
    np.testing.assert_array_equal(variable, start.astype(np.float32))
    assert float(adam.scaled(tf.constant(1.0))) == scale / 2
    expected, mean, square = start.copy(), np.zeros(5), np.zeros(5)
    for number in range(1, 4):
        gradient = rng.normal(size=5)
        step(tf.constant(gradient * scale / 2, tf.float32))
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9**number), square / (1 - 0.999**number)
        expected -= 0.1 * corrected[0] / (np.sqrt(corrected[1]) + 1e-7)
    np.testing.assert_allclose(variable, expected, rtol=1e-4)
    adam.reset()
    assert float(adam.scaled(tf.constant(1.0))) == scale
