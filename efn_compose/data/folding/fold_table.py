"""Folds as a CSV file, for people, other programs and later trainings."""

import csv
import os
from pathlib import Path

import numpy as np

from efn_compose.data.folding.fold_quality import measure_folds
from efn_compose.data.folding.folds import Folds
from efn_compose.data.table import ImageTable, printable
from efn_compose.errors import DataError, describe_problems, first_of
from efn_compose.store.atomic import atomic_path

COLUMNS = ("number", "image", "patient", "label", "class", "fold")
_LISTED = 20


def write_fold_table(table: ImageTable, fold: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write which image is in which fold, one line per image.

    Args:
        table: The images.
        fold: (image,) fold numbers.
        path: File to write; the old one or the new one, never half of one.

    Raises:
        RunError: The folder is missing, not writable, or full.
    """
    with atomic_path(path, 100 * len(table)) as temporary:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for number in range(len(table)):
                writer.writerow([*_row(table, number), str(int(fold[number]))])


def read_fold_table(table: ImageTable, path: str | os.PathLike[str]) -> Folds:
    """Return the folds in a file of `write_fold_table`, made from the same images.

    Rows may stand in any order. Each image of the table must be in the file once, with
    the same name, patient and label. All images may have moved to another folder together.

    Args:
        table: The images.
        path: The file.

    Raises:
        DataError: Missing, damaged, or made from other images; all differences are listed. A patient
            is in several folds.

    Example:
        >>> read_fold_table(load_table("digits"), "folds.csv").fold.max()  # doctest: +SKIP
        4
    """
    table.all_labelled()
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file (seen from {Path.cwd()}).")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    if tuple(header) != COLUMNS:
        raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}. Received: {header}.")
    fold = np.full(len(table), -1)
    problems = []
    homes = _homes(table, rows)
    for line, row in enumerate(rows, 2):
        problem = _place(table, row, fold, homes)
        problems += [f"- row {line}: {problem}"] if problem else []
    missing = np.flatnonzero(fold < 0)
    if len(missing) and not problems:
        problems.append(f"- {len(missing)} images are in no row, such as image {missing[0]}")
    gaps = sorted(set(range(int(fold.max(initial=0)) + 1)) - set(fold.tolist()))
    if gaps and not problems:
        problems.append(f"- no image is in fold {', '.join(map(str, gaps))}")
    if problems:
        shown = first_of(problems, _LISTED)
        raise DataError(describe_problems(f"{path}: no folds of {table.name}.", shown))
    groups = np.arange(len(table)) if table.groups is None else table.groups
    quality = measure_folds(table.labels, groups, fold, table.class_names)
    if quality.leaked:
        raise DataError(
            f"{path}: {quality.leaked} patients are in more than one fold, so that networks would be judged "
            "on patients they were trained on. Put each patient into one fold: `efn-compose folds` makes "
            "such a file."
        )
    return Folds(fold, quality)


def _row(table: ImageTable, number: int) -> list[str]:
    label = int(table.labels[number])
    return [
        str(number),
        table.image_name(number),
        table.group_name(number) or "",
        str(label),
        printable(table.class_names[label]),
    ]


def _homes(table: ImageTable, rows: list[list[str]]) -> tuple[list[str], list[str]]:
    """Return the folders that the images were in and those they are in, as far as the paths differ.

    They are those of the first row; all others must agree. Seen from the folder of all images, one of
    the two is empty.
    """
    first = next((row for row in rows if len(row) == len(COLUMNS) and row[0].isdecimal()), None)
    if first is None or int(first[0]) >= len(table):
        return [], []
    there, here = first[1].split("/"), printable(table.image_name(int(first[0]))).split("/")
    if there[-1] != here[-1]:
        return [], []
    while there and here and there[-1] == here[-1]:
        there.pop(), here.pop()
    return there, here


def _place(
    table: ImageTable, row: list[str], fold: np.ndarray, homes: tuple[list[str], list[str]]
) -> str:
    """Put a row's image into its fold; return the problem with the row, if there is one."""
    if len(row) != len(COLUMNS):
        return f"{len(row)} fields, expected {len(COLUMNS)}"
    if not (row[0].isdecimal() and row[-1].isdecimal()):
        return f"number and fold must be whole numbers, not {row[0]!r} and {row[-1]!r}"
    number = int(row[0])
    if number >= len(table):
        return f"image {number}, but {table.name} has {len(table)}"
    (there, here), name, parts = homes, row[1], row[1].split("/")
    if parts[: len(there)] == there:
        name = "/".join([*here, *parts[len(there) :]])
    if [row[0], name, *row[2:-1]] != (wanted := _row(table, number)):
        return f"{row[1:-1]}, but image {number} of {table.name} is {wanted[1:]}"
    if fold[number] >= 0:
        return f"image {number} again"
    fold[number] = int(row[-1])
    return ""
