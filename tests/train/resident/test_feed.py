"""Images of the cache against the same images held in memory: equal answers, to the last bit."""

import dataclasses
import threading

import numpy as np
import pytest
import tensorflow as tf
from worker_setups import AUGMENT, DONORS, MIXED, SEAT, nano_data

from efn_compose.compose import Recipe
from efn_compose.data import load_table, take_data
from efn_compose.data.cache.images import CachedImages
from efn_compose.data.holding import Holding
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import WorkerSetup
from efn_compose.evolve.workers.tasks import (
    AbsorbTask,
    AlignTask,
    EvaluationTask,
    PredictionTask,
    SiblingTask,
)
from efn_compose.train.engine import placement
from efn_compose.train.engine.placement import Placement
from efn_compose.train.resident import feed
from efn_compose.train.resident.feed import Feed

TASKS = {
    "evaluation": EvaluationTask(Recipe.genome(MIXED), 3, 1.5, ("validation", "test")),
    "probe": EvaluationTask(Recipe.genome(MIXED), 3, probe=True),
    "prediction": PredictionTask(Recipe.genome(MIXED), 4, 0.5),
    "sibling": SiblingTask(0, 5, 1, 2, 6),
}


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    return nano_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def cached(held, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EFN_COMPOSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        table = load_table(held.name)
        return take_data(table, held.split, held.size, holding=Holding("cache"))


@pytest.fixture(scope="module")
def worker(held):
    setup = WorkerSetup(
        DONORS[0].spec,
        DONORS[0].conventions,
        FitnessOptions(batch_size=12),
        augment=AUGMENT,
        statistics_images=40,
    )
    worker = setup.make_worker(held)
    worker.sit(SEAT)
    return worker


def flat(answer):
    """Return numbers of an answer that do not tell the time."""
    if dataclasses.is_dataclass(answer):
        return {"scores": answer.scores, "train_loss": answer.train_loss, "error": answer.error}
    return {name: np.asarray(values).tobytes() for name, values in answer.items()}


@pytest.fixture
def small_chunks(monkeypatch):
    """Let a chunk have two steps of a training, and a part several chunks."""
    monkeypatch.setattr(feed, "CHUNK_BYTES", 2 * 12 * 32 * 32 * 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_task_answers_alike(worker, cached, name, small_chunks):
    assert isinstance(cached.train_images, CachedImages)
    wanted = TASKS[name].run(worker)
    images, batch = worker.images, worker.inference_batch
    try:
        # Few images at a time, so that scores and statistics need several chunks too.
        worker.inference_batch = 6
        order, worker._recalibration_order = (
            worker._recalibration_order,
            np.int32(np.arange(40).reshape(5, 8)),
        )
        in_memory = TASKS[name].run(worker)
        worker.images = {part: Feed(getattr(cached, f"{part}_images")) for part in images}
        from_cache = TASKS[name].run(worker)
        worker.inference_batch, worker._recalibration_order = batch, order
        assert flat(TASKS[name].run(worker)) == flat(wanted)
        assert flat(from_cache) == flat(in_memory)
    finally:
        worker.images, worker.inference_batch = images, batch
        worker._recalibration_order = order


@pytest.mark.slow
def test_absorbing_and_aligning_answer_alike(worker, held, cached):
    for task in (AbsorbTask(DONORS[0], 20, "all"), AlignTask(DONORS, 20, 1)):
        found = []
        for data in (held, cached):
            worker.data = data
            answer = task.run(worker)
            found.append(
                [d.fingerprint for d in (answer if isinstance(answer, list) else [answer])]
            )
        worker.data = held
        assert found[0] == found[1]


def test_both_are_known_by_the_same_fingerprint(held, cached, monkeypatch):
    assert cached.fingerprint == held.fingerprint
    again = dataclasses.replace(cached)
    monkeypatch.setattr(CachedImages, "__getitem__", lambda self, key: 1 / 0)
    assert again.fingerprint == held.fingerprint  # no pixel is read the second time
    monkeypatch.undo()
    other = dataclasses.replace(cached, train_labels=cached.train_labels[::-1])
    assert other.fingerprint != held.fingerprint


def test_chunks_follow_the_order_and_an_error_of_a_later_one_is_raised(cached, held, small_chunks):
    order = np.random.default_rng(0).permutation(48).reshape(4, 12).astype(np.int32)
    chunks = list(Feed(cached.train_images).chunks(order))
    assert [len(chunk.numbers) for chunk in chunks] == [2, 2]
    seen = np.concatenate([chunk.images.numpy()[chunk.places] for chunk in chunks])
    assert np.array_equal(seen, held.train_images[order])
    with pytest.raises(IndexError):
        list(Feed(cached.train_images).chunks(order + 30))


def test_the_next_chunk_is_on_the_device_before_the_present_one_is_given_back(held, small_chunks):
    order = np.arange(48).reshape(4, 12).astype(np.int32)
    is_there = threading.Semaphore(0)

    def put(pixels):
        is_there.release()
        return tf.constant(pixels)

    chunks = Feed(held.train_images, put).chunks(order)
    next(chunks)
    assert is_there.acquire(timeout=10) and is_there.acquire(timeout=10)
    assert len(list(chunks)) == 1


def test_images_without_room_on_an_accelerator_come_in_chunks(held, small_chunks, monkeypatch):
    images, order = held.train_images, np.arange(48).reshape(4, 12).astype(np.int32)
    for room, count in ((4 * images.nbytes, 1), (4 * images.nbytes - 4, 2)):
        monkeypatch.setattr(placement, "accelerator_bytes", lambda room=room: room)
        chunks = list(feed.held(images, Placement("gpu")).chunks(order))
        assert len(chunks) == count
        seen = np.concatenate([chunk.images.numpy()[chunk.places] for chunk in chunks])
        assert np.array_equal(seen, images[order])
