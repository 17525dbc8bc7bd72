"""Scalars for TensorBoard, read back by TensorBoard itself."""

import pytest

from efn_compose.evolve.watching.board import open_board

pytest.importorskip("tensorboard", reason="extra `board` is not installed")


def _record(index, loss, error=None):
    return {
        "index": index,
        "phase": "search",
        "scores": {} if error else {"validation": {"loss": loss, "auc": 0.9}},
        "error": error,
        "timing": {"seconds": {"epoch": 2.5}, "memory_mb": 800.0, "finished": 1e9 + index},
    }


def test_tensorboard_reads_what_a_run_and_its_resumption_wrote(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = open_board(tmp_path)
    first.take(_record(0, 0.5), is_replayed=False)
    first.take(_record(1, 0.0, "training diverged"), is_replayed=False)
    first.close()
    second = open_board(tmp_path)
    for index, loss in enumerate((0.5, 0.0)):
        second.take(_record(index, loss, "diverged" if index else None), is_replayed=True)
    second.take(_record(2, 0.7), is_replayed=False)
    second.close()
    found = EventAccumulator(str(tmp_path / "board"))
    found.Reload()
    losses = [(event.step, event.value) for event in found.Scalars("search/validation_loss")]
    assert losses == [(0, 0.5), (2, pytest.approx(0.7))], "each evaluation once"
    best = [event.value for event in found.Scalars("search/smallest_loss_so_far")]
    assert best == [0.5, 0.5, 0.5]
    assert [event.value for event in found.Scalars("worker/failed")] == [0.0, 1.0, 0.0]
