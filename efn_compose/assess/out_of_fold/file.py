"""Predictions as a table that other programs read: Parquet or CSV, by the file's suffix.

Columns: number, image, patient, label (class number), class (its name), fold, seed, variant,
and one probability per class, `p0_benign`, `p1_malignant`, …: the number makes names
unique and keeps their order, for any class names.
"""

import csv
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.assess.out_of_fold.predictions import Predictions
from efn_compose.data.table import printable
from efn_compose.errors import ConfigError, DataError, describe_problems
from efn_compose.store.atomic import atomic_path

_WHOLE = ("number", "label", "fold", "seed")
_TEXT = ("image", "patient", "variant")
_ORDER = ("number", "image", "patient", "label", "class", "fold", "seed", "variant")
#: Rows on disk, about, to check for room before writing.
_BYTES_PER_ROW = 200


def default_name() -> str:
    """Return "out_of_fold.parquet" where pyarrow is installed, else "out_of_fold.csv"."""
    has_parquet = importlib.util.find_spec("pyarrow") is not None
    return "out_of_fold.parquet" if has_parquet else "out_of_fold.csv"


def find_predictions(folder: Path) -> Path | None:
    """Return the file of predictions in a run folder, None where there is none."""
    found = (folder / f"out_of_fold{suffix}" for suffix in (".parquet", ".csv"))
    return next((path for path in found if path.is_file()), None)


def write_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """Write predictions; the file is the old one or the new one, never half of one.

    CSV is UTF-8 and quoted where needed; names with commas, quotes and line breaks come back
    as they were, and probabilities bit for bit.

    Args:
        predictions: The rows.
        path: File that ends in `.parquet` (needs pyarrow) or `.csv`.

    Raises:
        ConfigError: Another suffix, or pyarrow is missing.
        RunError: The folder is missing, not writable, or full.
    """
    path = Path(path)
    check_table_suffix(path)
    columns = _to_columns(predictions)
    with atomic_path(path, _BYTES_PER_ROW * len(predictions)) as temporary:
        if path.suffix == ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.table(columns), temporary)
        else:
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(zip(*(_texts(column) for column in columns.values()), strict=True))


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Return the predictions in a file of `write_predictions`.

    Raises:
        ConfigError: Another suffix, or pyarrow is missing.
        DataError: The file is missing, damaged, or another kind of table; all problems are listed.
    """
    path = Path(path)
    check_table_suffix(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file (seen from {Path.cwd()}).")
    columns = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    names = _class_names(columns)
    missing = [name for name in (*_WHOLE, *_TEXT) if name not in columns]
    problems = [f"- no column {name!r}" for name in missing]
    if not names:
        problems.append("- no columns of probabilities p0_…, p1_…")
    fields: dict[str, Any] = {}
    for name in _WHOLE if not problems else ():
        try:
            fields[name] = np.array([int(value) for value in columns[name]], np.int64)
        except (ValueError, TypeError) as error:
            problems.append(f"- column {name!r}: expected whole numbers ({error})")
    probabilities = []
    for number, name in enumerate(names if not problems else ()):
        try:
            column = [float(value) for value in columns[f"p{number}_{name}"]]
            probabilities.append(np.array(column, np.float32))
        except (ValueError, TypeError) as error:
            problems.append(f"- column 'p{number}_{name}': expected numbers ({error})")
    if problems:
        raise DataError(describe_problems(f"{path}: not a table of predictions.", problems))
    for name in _TEXT:
        fields[name] = tuple(str(value) for value in columns[name])
    table = np.stack(probabilities, axis=1) if len(fields["number"]) else np.zeros((0, len(names)))
    return Predictions(class_names=names, probability=table.astype(np.float32), **fields)


def read_class_names(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the class names in a file of `write_predictions`; its rows are not read.

    Raises:
        ConfigError: Another suffix, or pyarrow is missing.
        DataError: The file is damaged, or names no classes.
    """
    path = Path(path)
    check_table_suffix(path)
    if path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        try:
            header = parquet.read_schema(path).names
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path}: not a Parquet file ({error}).") from None
    else:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
    names = _class_names(dict.fromkeys(header))
    if not names:
        raise DataError(f"{path}: no columns of probabilities p0_…, p1_….")
    return names


def _to_columns(predictions: Predictions) -> dict[str, np.ndarray | list[str]]:
    names = [printable(name) for name in predictions.class_names]
    columns: dict[str, np.ndarray | list[str]] = {
        "class": [names[label] for label in predictions.label]
    }
    columns |= {name: getattr(predictions, name) for name in _WHOLE}
    columns |= {name: [printable(text) for text in getattr(predictions, name)] for name in _TEXT}
    ordered = {name: columns[name] for name in _ORDER}
    return ordered | {
        f"p{number}_{name}": np.ascontiguousarray(predictions.probability[:, number])
        for number, name in enumerate(names)
    }


def _texts(column: np.ndarray | list[str]) -> list[str]:
    # Of a float32, str() gives the shortest digits that read back as the same bits.
    return [str(value) for value in column]


def _class_names(columns: Mapping[str, object]) -> tuple[str, ...]:
    found = {}
    for column in columns:
        match = re.fullmatch(r"p(\d+)_(.*)", column, re.DOTALL)
        if match:
            found[int(match[1])] = match[2]
    return tuple(found[number] for number in range(len(found)) if number in found)


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pydict()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: not a Parquet file ({error}).") from None


def _read_csv(path: Path) -> dict[str, list[str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    short = [number for number, row in enumerate(rows, 2) if len(row) != len(header)]
    if short:
        raise DataError(
            f"{path}: row {short[0]} and {len(short) - 1} more have other than {len(header)} fields."
        )
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def check_table_suffix(path: Path) -> None:
    """Raise `ConfigError` unless a table can be kept in a file of this name."""
    if path.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"predictions are kept in .parquet or .csv. Received: {path.name!r}.")
    if path.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            f"{path}: Parquet needs pyarrow. Install it (pip install 'efn_compose[tables]') or take "
            "a .csv file."
        )
