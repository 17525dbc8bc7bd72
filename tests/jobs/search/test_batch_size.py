"""Finding the batch size: never tries what cannot fit, keeps an epoch's steps, is found once."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from efn_compose.arch import arch_spec
from efn_compose.config import load_config
from efn_compose.jobs.search import batch_size
from efn_compose.jobs.search.batch_size import BatchSize, with_batch_size
from efn_compose.jobs.search.preparation import Prepared
from efn_compose.models.memory import inference_batch, largest_batch


class Memory:
    """A device that takes so many bytes per image above what it takes anyway."""

    def __init__(self, each, fixed, capacity=float("inf")):
        self.each, self.fixed, self.capacity = each, fixed, capacity
        self.tried, self.highest = [], fixed

    def step(self, batch):
        self.tried.append(batch)
        if self.fixed + self.each * batch > self.capacity:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        self.highest = max(self.highest, self.fixed + self.each * batch)

    def peak(self):
        return self.highest


@pytest.mark.parametrize("hidden", [1, 3000])
def test_nothing_is_tried_that_would_not_fit(hidden):
    """Also where what tracing took hides the growth of the first steps."""
    memory = Memory(each=10, fixed=1000)
    memory.highest = max(memory.highest, hidden)
    found = list(largest_batch(memory.step, memory.peak, 5000, 1024, bytes_each=10))
    assert max(memory.tried) * 10 + 1000 <= 5000
    assert found[-1][0] == 256


def test_a_refusal_ends_the_trial():
    memory = Memory(each=10, fixed=0, capacity=1000)
    found = list(largest_batch(memory.step, memory.peak, 1e9, 1024, bytes_each=1))
    assert [batch for batch, _ in found] == [8, 16, 32, 64]
    assert memory.tried[-1] == 128


def test_no_more_than_leaves_an_epoch_its_steps():
    memory = Memory(each=10, fixed=0)
    assert list(largest_batch(memory.step, memory.peak, 1e9, 20, bytes_each=1))[-1][0] == 16


@pytest.mark.parametrize(
    ("images", "found", "epochs"),
    # 0.03 of updates times rate are enough: 30 of the usual rate.
    [(960, 32, 1), (960, 64, 2), (200, 8, 2)],
)
def test_epochs_are_decided_once_the_batch_size_is_found(
    tmp_path, monkeypatch, images, found, epochs
):
    answer = BatchSize(found, "as measured")
    monkeypatch.setattr(batch_size, "find_batch_size", lambda prepared: answer)
    config = load_config(overrides=["fitness.batch_size=0"])
    prepared = Prepared(config, [], SimpleNamespace(train_labels=range(images)), tmp_path)
    settled, note = with_batch_size(prepared)
    assert settled.config.fitness.batch_size == found
    assert note.startswith(f"Batch size {found}: as measured.")
    assert settled.config.fitness.passes == epochs
    assert note.endswith("measured.") == (epochs == 1)
    # A search that trains on ranks by longer and longer trainings.
    kind = load_config(overrides=["fitness.batch_size=0", "search.kind=halving"])
    _, alone = with_batch_size(Prepared(kind, [], prepared.data, tmp_path))
    assert alone == f"Batch size {found}: as measured."


def test_batches_without_gradients_follow_from_network_and_size_alone():
    b0, b5 = arch_spec("b0"), arch_spec("b5")
    assert inference_batch(b0, 32) == 256
    assert inference_batch(b5, 456) < inference_batch(b0, 224) < 256
    # Input, output and one map in the making of B5's widest layer: 144 channels at 228 pixels.
    assert inference_batch(b5, 456) * 228 * 228 * 144 * 4 * 3 < 2**30
