"""Scalars of a run for TensorBoard, where it is installed: `tensorboard --logdir runs/mine/board`."""

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOLDER = "board"


class Board:
    """Writes each new evaluation as scalars; the journal stays the truth.

    Args:
        folder: The run folder; files go into its `board` folder.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        path = folder / FOLDER / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        path.parent.mkdir(exist_ok=True)
        self._writer = RecordWriter(path.open("wb"))
        self._best: float | None = None
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def take(self, record: dict[str, Any], is_replayed: bool) -> None:
        """Take one journal record; replayed ones are on the board already."""
        loss = record["scores"].get("validation", {}).get("loss")
        if record["phase"] == "search" and loss is not None:
            self._best = loss if self._best is None else min(self._best, loss)
        if is_replayed:
            return
        timing = record["timing"]
        scalars = {
            f"{record['phase']}/{part}_{metric}": value
            for part, metrics in record["scores"].items()
            for metric, value in metrics.items()
        }
        if record["phase"] == "search" and self._best is not None:
            scalars["search/smallest_loss_so_far"] = self._best
        scalars |= {f"seconds/{name}": value for name, value in timing["seconds"].items()}
        scalars["worker/memory_mb"] = timing["memory_mb"]
        scalars["worker/failed"] = float(record["error"] is not None)
        self.put(scalars, record["index"], timing["finished"])

    def put(self, scalars: Mapping[str, float], step: int, moment: float) -> None:
        """Write some scalars.

        Args:
            scalars: By tag.
            step: Their place on the axis.
            moment: Seconds since 1970.
        """
        values = [self._summary.Value(tag=tag, simple_value=v) for tag, v in scalars.items()]
        self._write(self._event(wall_time=moment, step=step, summary=self._summary(value=values)))

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def open_board(folder: Path) -> Board | None:
    """Return a board for a run, None where TensorBoard is not installed."""
    return Board(folder) if find_spec("tensorboard") is not None else None
