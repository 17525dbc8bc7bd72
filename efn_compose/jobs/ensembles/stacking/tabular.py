"""The user's own columns of images, as numbers that second-level models can see."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.errors import DataError, describe_problems
from efn_compose.jobs.predictions.submission import match_images

#: Categories that get a feature of their own; rarer ones share none.
_CATEGORIES = 50
#: Rank correlation with the order of the rows from which on a column is the file's order.
_ORDER = 0.99
_EMPTY = frozenset({"", "na", "nan", "null", "none"})


@dataclass(frozen=True, eq=False)
class FurtherColumns:
    """Columns of a table, ready for models.

    Args:
        names: Of the features.
        rows: (row, feature) float32 of the labelled rows; NaN where a number is missing.
        images: (image, feature) float32 of the test images.
        notes: Sentences on columns that were left out, and on categories unseen in training.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    images: np.ndarray
    notes: tuple[str, ...]


def read_further(path: Path, rows: Sequence[str], images: Sequence[str]) -> FurtherColumns:
    """Read a table of columns for labelled rows and test images; labels play no part.

    The first column holds image names. A column whose values are all numbers is one feature; any
    other is one feature per category of the labelled rows. A test image of a category that they do
    not have has 0 in all of them. Columns that say nothing or too much are left out and named:
    constant ones, names that are different in every row, and the order of the file.

    Args:
        path: CSV, UTF-8, with a header.
        rows: Names of the labelled images.
        images: Names of the test images.

    Raises:
        DataError: Not such a table, or images without a line; all problems are listed.
    """
    header, lines = _read(path)
    ids = [line[0] for line in lines]
    problems: list[str] = []
    places: list[list[int]] = []
    for what, names in (("labelled", rows), ("test", images)):
        found = _places(names, ids)
        missing = [name for name, place in zip(names, found, strict=True) if place < 0]
        if missing:
            problems.append(
                f"- {len(missing)} {what} images have no line, such as {', '.join(missing[:5])}"
            )
        places.append(found)
    if problems:
        raise DataError(describe_problems(f"{path}: lines are missing.", problems))
    features: list[tuple[str, np.ndarray, np.ndarray]] = []
    notes: list[str] = []
    for number, name in enumerate(header[1:], 1):
        ours, theirs = ([lines[place][number].strip() for place in part] for part in places)
        features += _features(name, ours, theirs, notes)
    if not features:
        raise DataError(f"{path}: no column is left. " + " ".join(notes))
    return FurtherColumns(
        tuple(name for name, _, _ in features),
        np.stack([values for _, values, _ in features], axis=1),
        np.stack([values for _, _, values in features], axis=1),
        tuple(notes),
    )


def _features(
    name: str, ours: Sequence[str], theirs: Sequence[str], notes: list[str]
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    numbers, new = _numbers(ours), _numbers(theirs)
    if numbers is not None and new is not None:
        there = ~np.isnan(numbers)
        if len(np.unique(numbers[there])) < 2:
            notes.append(f"column {name} is constant in the labelled rows and is left out.")
            return []
        order = np.flatnonzero(there)
        if len(order) > 2 and abs(_rank_correlation(numbers[there], order)) > _ORDER:
            notes.append(f"column {name} follows the order of the rows and is left out.")
            return []
        return [(name, numbers, new)]
    categories, counts = np.unique([value.casefold() for value in ours], return_counts=True)
    if len(categories) == len(ours):
        notes.append(f"column {name} is different in every row and is left out.")
        return []
    if len(categories) < 2:
        notes.append(f"column {name} is constant in the labelled rows and is left out.")
        return []
    unseen = sorted({value for value in theirs if value.casefold() not in set(categories)})
    if unseen:
        notes.append(
            f"column {name}: {len(unseen)} categories of test images are in no labelled row, such as "
            f"{', '.join(map(repr, unseen[:3]))}."
        )
    kept = sorted(categories[np.argsort(-counts, kind="stable")][:_CATEGORIES])
    return [
        (
            f"{name}={category}",
            np.array([value.casefold() == category for value in ours], np.float32),
            np.array([value.casefold() == category for value in theirs], np.float32),
        )
        for category in kept
    ]


def _numbers(values: Sequence[str]) -> np.ndarray | None:
    try:
        found = [np.nan if value.casefold() in _EMPTY else float(value) for value in values]
    except ValueError:
        return None
    array = np.array(found, np.float32)
    return np.where(np.isinf(array), np.nan, array).astype(np.float32)


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def _places(names: Sequence[str], ids: Sequence[str]) -> list[int]:
    """Return the line of each image, -1 without one; ids may be paths, file names or stems."""
    found, _ = match_images(ids, names)
    places = [-1] * len(names)
    for line, place in enumerate(found):
        if place >= 0:
            places[place] = line
    return places


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise DataError(f"{path}: no table there ({error.strerror}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    if len(rows) < 2 or len(rows[0]) < 2:
        raise DataError(f"{path}: expected a header, a column of image names, and further columns.")
    short = [number for number, row in enumerate(rows, 1) if len(row) != len(rows[0])]
    if short:
        raise DataError(f"{path}: row {short[0]} has other than {len(rows[0])} fields.")
    return rows[0], rows[1:]
