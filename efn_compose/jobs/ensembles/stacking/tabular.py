"""The user's own columns of images, as numbers that second-level models can see."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.errors import DataError, describe_problems
from efn_compose.jobs.ensembles.stacking.inputs import Further
from efn_compose.jobs.predictions.submission import match_images, read_rows
from efn_compose.numerics.ranks import rank_correlation

#: Rank correlation with the order of the rows from which on a column is the file's order.
_ORDER = 0.99
#: Images that a message lists.
_LISTED = 5
_EMPTY = frozenset({"", "na", "nan", "null", "none"})


@dataclass(frozen=True, eq=False)
class FurtherColumns:
    """Columns of a table, ready for models.

    Args:
        numbers: Names of columns of numbers.
        categories: By name of a column, its categories; the first has code 1.
        rows: The labelled rows.
        images: The test images.
        notes: Sentences on columns that were left out, and on categories unseen in training.
    """

    numbers: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    rows: Further
    images: Further
    notes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of all that models see of the table."""
        found = hashlib.sha256(repr((self.numbers, dict(self.categories))).encode())
        for part in (self.rows, self.images):
            found.update(np.ascontiguousarray(part.numbers).data)
            found.update(np.ascontiguousarray(part.codes).data)
        return found.hexdigest()


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return header and lines of a table of further columns.

    Args:
        path: CSV, UTF-8, with a header.

    Raises:
        DataError: Not such a table.
    """
    return read_rows(path, "a header, a column of image names, and further columns")


def read_further(
    path: Path, rows: Sequence[str], images: Sequence[str], labels: np.ndarray
) -> FurtherColumns:
    """Read a table of columns for labelled rows and test images.

    The first column holds image names. A column whose values are all numbers is one of numbers; any
    other has the categories of the labelled rows, the most frequent first. A test image of a category
    that they do not have has code 0. Columns that say nothing or too much are left out and named:
    constant ones, names that are different in every row, the order of the file, the labels
    themselves under any name, and columns that no test image has a value of. Nothing else asks for
    the labels.

    Args:
        path: CSV, UTF-8, with a header.
        rows: Names of the labelled images.
        images: Names of the test images.
        labels: (labelled row,) class numbers.

    Raises:
        DataError: Not such a table, or images without a line; all problems are listed.
    """
    header, lines = read_table(path)
    ids = [line[0] for line in lines]
    problems: list[str] = []
    places: list[list[int]] = []
    for what, names in (("labelled", rows), ("test", images)):
        found = _lines_of(names, ids)
        missing = [name for name, own in zip(names, found, strict=True) if not own]
        unclear = [
            name
            for name, own in zip(names, found, strict=True)
            if any(lines[line][1:] != lines[own[0]][1:] for line in own)
        ]
        problems += [
            f"- {len(of)} {what} images have {words}, such as {', '.join(of[:_LISTED])}"
            for of, words in ((missing, "no line"), (unclear, "several lines that differ"))
            if of
        ]
        places.append([own[-1] if own else -1 for own in found])
    if problems:
        raise DataError(
            describe_problems(
                f"{path}: every image needs a line.",
                problems,
                "Put a line for each labelled and each new image into one table.",
            )
        )
    numbers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    categories: dict[str, tuple[str, ...]] = {}
    codes: list[tuple[np.ndarray, np.ndarray]] = []
    notes: list[str] = []
    for number, name in enumerate(header[1:], 1):
        ours, theirs = ([lines[place][number].strip() for place in part] for part in places)
        why = _answer(ours, theirs, labels)
        if why:
            notes.append(f"column {name} {why} and is left out.")
            continue
        first, second = _numbers(ours), _numbers(theirs)
        if first is not None and second is not None:
            if _says_something(name, first, notes):
                numbers[name] = first, second
        else:
            found_categories = _categories(name, ours, theirs, notes)
            if found_categories:
                categories[name] = found_categories
                codes.append((_codes(ours, found_categories), _codes(theirs, found_categories)))
    if not numbers and not categories:
        raise DataError(f"{path}: no column is left. " + " ".join(notes))
    parts = [
        Further(
            _side_by_side([pair[which] for pair in numbers.values()], len(names), np.float32),
            _side_by_side([pair[which] for pair in codes], len(names), np.int64),
        )
        for which, names in enumerate((rows, images))
    ]
    return FurtherColumns(tuple(numbers), categories, parts[0], parts[1], tuple(notes))


def _answer(ours: Sequence[str], theirs: Sequence[str], labels: np.ndarray) -> str:
    """Return why a column is known of labelled images only; "" if nothing says so.

    A competition's own table of training images has such columns: the class, and what was found out
    after the picture was taken.
    """
    found = [value.casefold() for value in ours]
    there = [number for number, value in enumerate(found) if value not in _EMPTY]
    if there and all(value.casefold() in _EMPTY for value in theirs):
        return "is empty for all test images"
    pairs = {(found[number], int(labels[number])) for number in there}
    values, classes = ({pair[side] for pair in pairs} for side in (0, 1))
    if len(pairs) == len(values) == len(classes) > 1:
        return "tells the labels, a value for each class,"
    return ""


def _side_by_side(columns: Sequence[np.ndarray], rows: int, dtype: type) -> np.ndarray:
    """Return columns (row,) as one array (row, column); there may be none."""
    return np.column_stack(columns) if columns else np.zeros((rows, 0), dtype)


def _says_something(name: str, numbers: np.ndarray, notes: list[str]) -> bool:
    there = ~np.isnan(numbers)
    if len(np.unique(numbers[there])) < 2:
        notes.append(f"column {name} is constant in the labelled rows and is left out.")
        return False
    order = np.flatnonzero(there)
    if len(order) > 2 and abs(rank_correlation(numbers[there], order)) > _ORDER:
        notes.append(f"column {name} follows the order of the rows and is left out.")
        return False
    return True


def _categories(
    name: str, ours: Sequence[str], theirs: Sequence[str], notes: list[str]
) -> tuple[str, ...]:
    """Return the categories of the labelled rows, none where the column is left out."""
    found, counts = np.unique([value.casefold() for value in ours], return_counts=True)
    if len(found) == len(ours):
        notes.append(f"column {name} is different in every row and is left out.")
        return ()
    if len(found) < 2:
        notes.append(f"column {name} is constant in the labelled rows and is left out.")
        return ()
    unseen = sorted({value for value in theirs if value.casefold() not in set(found)})
    if len(unseen) == len(set(theirs)):
        notes.append(
            f"column {name} has no category of a labelled row in test images and is left out."
        )
        return ()
    if unseen:
        notes.append(
            f"column {name}: {len(unseen)} categories of test images are in no labelled row, such as "
            f"{', '.join(map(repr, unseen[:3]))}."
        )
    return tuple(found[np.argsort(-counts, kind="stable")].tolist())


def _codes(values: Sequence[str], categories: Sequence[str]) -> np.ndarray:
    place = {category: code for code, category in enumerate(categories, 1)}
    return np.array([place.get(value.casefold(), 0) for value in values], np.int64)


def _numbers(values: Sequence[str]) -> np.ndarray | None:
    try:
        found = [np.nan if value.casefold() in _EMPTY else float(value) for value in values]
    except ValueError:
        return None
    array = np.array(found, np.float32)
    return np.where(np.isinf(array), np.nan, array).astype(np.float32)


def _lines_of(names: Sequence[str], ids: Sequence[str]) -> list[list[int]]:
    """Return the lines of each image; ids may be paths, file names or stems."""
    found, _ = match_images(ids, names)
    lines: list[list[int]] = [[] for _ in names]
    for line, place in enumerate(found):
        if place >= 0:
            lines[place].append(line)
    return lines
