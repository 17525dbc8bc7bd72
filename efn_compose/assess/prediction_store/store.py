"""A folder of predictions: rows, columns, and the logits of every column on every row."""

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from efn_compose.assess.prediction_store.blocks import (
    BlockReader,
    BlockWriter,
    logits_of,
    probability_of,
)
from efn_compose.assess.prediction_store.column import Column
from efn_compose.assess.prediction_store.rows import RowTable
from efn_compose.errors import DataError, describe_problems
from efn_compose.store.atomic import atomic_path, write_text

ROWS_FILE, COLUMNS_FILE = "rows.json", "columns.json"
LOGITS_FILE = "out_of_fold.parquet"
#: How far an image's probabilities may sum from 1: half precision.
_SUM_TOLERANCE = 5e-3


class StoreWriter(AbstractContextManager["StoreWriter"]):
    """Writes a store, a model at a time; the folder becomes a store when all are written.

    Args:
        folder: Where to; made where it is missing.
        rows: Images and folds, which all models share.

    Example:
        >>> with StoreWriter("predictions", rows) as store:  # doctest: +SKIP
        ...     store.add(Column("b0"), probability)
    """

    def __init__(self, folder: str | os.PathLike[str], rows: RowTable) -> None:
        self.folder, self.rows = Path(folder), rows
        self.folder.mkdir(parents=True, exist_ok=True)
        # What is being replaced is no store any more.
        (self.folder / COLUMNS_FILE).unlink(missing_ok=True)
        self._columns: list[Column] = []
        self._place = atomic_path(self.folder / LOGITS_FILE)
        self._writer = BlockWriter(
            self._place.__enter__(), len(rows.class_names), {"rows": rows.digest}
        )

    def add(self, column: Column, probability: np.ndarray) -> None:
        """Append a model.

        Args:
            column: What it is.
            probability: (row, class) out of fold.

        Raises:
            DataError: A name again, other rows or classes, or no probabilities.
        """
        given = np.asarray(probability)
        expected = (len(self.rows), len(self.rows.class_names))
        problems = []
        if column.name in {other.name for other in self._columns}:
            problems.append("- there is a column of this name")
        if given.shape != expected:
            problems.append(f"- expected (row, class) = {expected}. Received: {given.shape}")
        elif not np.isfinite(given).all():
            bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
            problems.append(f"- {len(bad)} rows are not finite, such as {self.rows.image[bad[0]]}")
        elif (np.abs(given.sum(axis=1) - 1) > _SUM_TOLERANCE).any() or (given < 0).any():
            problems.append("- rows are no probabilities: below 0, or not summing to 1")
        if problems:
            raise DataError(describe_problems(f"{column.name}: cannot join the store.", problems))
        self._writer.write(logits_of(given))
        self._columns.append(column)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the files; after an exception there is no store."""
        self._writer.close()
        self._place.__exit__(kind, error, trace)
        if kind is not None:
            return
        rows = self.rows
        fields: dict[str, Any] = {
            "image": rows.image,
            "patient": rows.patient,
            "label": rows.label.tolist(),
            "fold": rows.fold.tolist(),
            "class_names": rows.class_names,
        }
        if rows.content:
            fields["content"] = rows.content
        write_text(self.folder / ROWS_FILE, json.dumps(fields, ensure_ascii=False))
        columns = [column.to_json() for column in self._columns]
        text = json.dumps({"rows": rows.digest, "columns": columns}, indent=1, ensure_ascii=False)
        write_text(self.folder / COLUMNS_FILE, text)


class PredictionStore:
    """Reads a store; memory holds what is asked for.

    Args:
        folder: Of `StoreWriter`.

    Raises:
        DataError: No store, damaged, or parts of different folds.

    Example:
        >>> PredictionStore("predictions").probability([0]).shape  # doctest: +SKIP
        (1, 33126, 9)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            fields = json.loads((self.folder / ROWS_FILE).read_text("utf-8"))
            stated = json.loads((self.folder / COLUMNS_FILE).read_text("utf-8"))
            self.rows = RowTable(
                tuple(fields["image"]),
                tuple(fields["patient"]),
                np.array(fields["label"], np.int64),
                np.array(fields["fold"], np.int64),
                tuple(fields["class_names"]),
                {int(number): text for number, text in fields.get("content", {}).items()},
            )
            self.columns = tuple(Column.from_json(column) for column in stated["columns"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{self.folder}: no prediction store ({error}).") from None
        self._blocks = BlockReader(self.folder / LOGITS_FILE)
        digests = {self.rows.digest, stated["rows"], self._blocks.heading["rows"]}
        if len(digests) > 1 or len(self._blocks) != len(self.columns):
            raise DataError(f"{self.folder}: its files belong to different folds or models.")

    def logits(self, column: int, classes: Sequence[int] | None = None) -> np.ndarray:
        """Return a model's logits, float16 (row, class).

        Args:
            column: Number of the model.
            classes: Only these; default all.
        """
        return self._blocks.read(column, classes)

    def probability(self, columns: Sequence[int] | None = None) -> np.ndarray:
        """Return probabilities of some models, float32 (model, row, class); default all."""
        chosen = range(len(self.columns)) if columns is None else columns
        return np.stack([probability_of(self.logits(number)) for number in chosen])
