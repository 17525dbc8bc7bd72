"""A Parquet file of logits, one row group per model: a model is read without the others."""

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.errors import ConfigError, DataError

#: Probabilities below this count as this: beyond it half precision has nothing to say.
FLOOR = 1e-6


def logits_of(probability: np.ndarray) -> np.ndarray:
    """Return centred logits (…, class) float16 of probabilities.

    Centred, two near classes lie near 0, where half precision is finest.

    Example:
        >>> logits_of(np.array([[0.5, 0.5]])).tolist()
        [[0.0, 0.0]]
    """
    found = np.log(np.maximum(np.asarray(probability, np.float64), FLOOR))
    return (found - found.mean(axis=-1, keepdims=True)).astype(np.float16)


def probability_of(logits: np.ndarray) -> np.ndarray:
    """Return probabilities (…, class) float32 of logits."""
    values = logits.astype(np.float32)
    grown = np.exp(values - values.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def require_parquet() -> None:
    """Raise `ConfigError` where pyarrow is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            "A prediction store is kept as Parquet, which needs pyarrow. Install it: "
            "pip install 'efn_compose[tables]'."
        )


class BlockWriter:
    """Writes blocks (row, class), one per model, and forgets each.

    Args:
        path: The file.
        classes: Width of every block.
        heading: JSON values for the file's head.
    """

    def __init__(self, path: Path, classes: int, heading: dict[str, Any]) -> None:
        require_parquet()
        import pyarrow
        from pyarrow import parquet

        fields = [(f"logit{number}", pyarrow.float16()) for number in range(classes)]
        self._schema = pyarrow.schema(fields, metadata={"efn_compose": json.dumps(heading)})
        # Logits are noise to a compressor, and a reader should not wait for it.
        self._writer = parquet.ParquetWriter(
            path, self._schema, compression="none", use_dictionary=False, write_statistics=False
        )

    def write(self, logits: np.ndarray) -> None:
        """Append a model's block, float16 (row, class)."""
        import pyarrow

        columns = [pyarrow.array(np.ascontiguousarray(column)) for column in logits.T]
        table = pyarrow.table(columns, schema=self._schema)
        self._writer.write_table(table, row_group_size=max(len(logits), 1))

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class BlockReader:
    """Reads blocks of a file of `BlockWriter`.

    Args:
        path: The file.

    Raises:
        DataError: Missing or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        require_parquet()
        import pyarrow
        from pyarrow import parquet

        try:
            self._file = parquet.ParquetFile(path)
            metadata = self._file.schema_arrow.metadata or {}
            self.heading: dict[str, Any] = json.loads(metadata[b"efn_compose"])
        except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: not a file of logits ({error}).") from None

    def __len__(self) -> int:
        return int(self._file.num_row_groups)

    def read(self, number: int, classes: Sequence[int] | None = None) -> np.ndarray:
        """Return a model's block, float16 (row, class).

        Args:
            number: Of the model.
            classes: Only these; default all.
        """
        names = None if classes is None else [f"logit{number}" for number in classes]
        table = self._file.read_row_group(number, columns=names, use_threads=False)
        return np.stack([column.to_numpy() for column in table.columns], axis=1)
