"""The table of predictions on disk, written as it is made."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.assess.out_of_fold.file import check_table_suffix
from efn_compose.jobs.predictions.rows import Rows
from efn_compose.store.atomic import atomic_path

#: Columns that every table has; a class of one of these names becomes "class NAME".
_FIRST, _LAST = ("image",), ("predicted", "spread")


def class_columns(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the name of each class's column.

    Example:
        >>> class_columns(["benign", "image"])
        ('benign', 'class image')
    """
    taken = (*_FIRST, *_LAST)
    return tuple(f"class {name}" if name in taken else name for name in class_names)


class TableWriter:
    """Takes rows and forgets them once they are on the disk.

    Args:
        path: Temporary file to write.
        is_parquet: Parquet; otherwise CSV, UTF-8.
        class_names: One per class.
    """

    def __init__(self, path: Path, is_parquet: bool, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._header = (*_FIRST, *class_columns(class_names), *_LAST)
        self._parquet: Any = None
        self._file: Any = None
        if is_parquet:
            import pyarrow
            from pyarrow import parquet

            text, number = pyarrow.string(), pyarrow.float32()
            kinds = [text, *[number] * len(class_names), text, number]
            self._schema = pyarrow.schema(list(zip(self._header, kinds, strict=True)))
            self._parquet = parquet.ParquetWriter(path, self._schema)
        else:
            self._file = open(path, "w", newline="", encoding="utf-8")  # noqa: SIM115 - closed below
            self._csv = csv.writer(self._file)
            self._csv.writerow(self._header)

    def write(self, rows: Rows) -> None:
        """Append rows."""
        columns = [
            list(rows.image),
            *np.ascontiguousarray(rows.probability.T),
            [self._names[number] for number in rows.predicted],
            rows.spread,
        ]
        if self._parquet is not None:
            import pyarrow

            self._parquet.write_table(pyarrow.table(columns, schema=self._schema))
            return
        # Of a float32, str() gives the shortest digits that read back as the same bits.
        self._csv.writerows(
            zip(*([str(value) for value in column] for column in columns), strict=True)
        )

    def close(self) -> None:
        """Finish the file."""
        (self._parquet if self._parquet is not None else self._file).close()


@contextmanager
def open_table(path: Path, class_names: Sequence[str]) -> Iterator[TableWriter]:
    """Open a table to write; the file appears when all is written, or not at all.

    Args:
        path: File that ends in `.parquet` (needs pyarrow) or `.csv`.
        class_names: One per class.

    Raises:
        ConfigError: Another suffix, or pyarrow is missing.
        RunError: The folder is missing, not writable, or full.
    """
    check_table_suffix(path)
    with atomic_path(path) as temporary:
        writer = TableWriter(temporary, path.suffix == ".parquet", class_names)
        try:
            yield writer
        finally:
            writer.close()
