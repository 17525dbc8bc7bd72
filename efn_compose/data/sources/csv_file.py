"""A table of image files with labels and, where known, patients."""

import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np

from efn_compose.data.decoding.decode import ImageFiles
from efn_compose.data.masks.masks import MaskFiles
from efn_compose.data.path_list import PathList
from efn_compose.data.sources.csv_text import open_rows
from efn_compose.data.sources.shards import given_names
from efn_compose.data.sources.words import MISSING, says_nothing, twin_problem, twins
from efn_compose.data.table import UNLABELLED, ImageTable, number_labels, printable
from efn_compose.errors import DataError, describe_problems, first_of

#: Header names that each column may have, the first match counts; letter case does not.
COLUMNS = {
    "image": ("image", "path", "image_name", "image_id", "file_name", "filename", "file"),
    "label": ("label", "target", "class"),
    "patient": ("patient", "patient_id", "group"),
    "mask": ("mask", "mask_path", "segmentation"),
}
_LOWER = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
#: Tried where a row names an image without its suffix.
SUFFIXES = (*_LOWER, *(suffix.upper() for suffix in _LOWER))
LISTED_PROBLEMS = 30
#: Of these, if no image at all is found.
_LISTED_OF_ONE_CAUSE = 3
_FRACTION = re.compile(r"-?\d*\.\d+(e-?\d+)?", re.IGNORECASE)


def load_csv(
    path: str | os.PathLike[str],
    columns: Sequence[str] = (),
    folder: str = "",
    *,
    needs_labels: bool = True,
    needs_masks: bool = False,
) -> ImageTable:
    """Return the images that a table with a header line lists.

    Args:
        path: The table, in UTF-8 or UTF-16, its fields separated by commas, semicolons or tabs.
            Image paths are absolute, or relative to the table's folder or to a folder beside it
            with the table's name (`train.csv` and `train/`); the suffix may be left out.
            Backslashes are read as slashes, and accents in Unicode's other form, where that finds
            the file.
        columns: "image=NAME", "label=NAME", "patient=NAME", "mask=NAME" each, where the header has
            other names than those in `COLUMNS`; all other columns are passed over.
        folder: A further folder that image paths may start from.
        needs_labels: Whether every row must have a label.
        needs_masks: Whether every row must have a mask's path, found as images are; otherwise
            masks are passed over.

    Raises:
        DataError: No such file, no such columns, or rows without an image, label or patient;
            all are listed by line.

    Example:
        >>> load_csv("train.csv", ["image=isic_id"], "jpeg").groups.max()  # doctest: +SKIP
        2055
    """
    table = Path(path)
    rows = _Rows(needs_labels, needs_masks)
    with open_rows(table) as (header, lines):
        found = _find_columns(
            table, header, given_names(str(table), columns, COLUMNS), needs_labels, needs_masks
        )
        places = _folders(table, folder)
        for line, row in lines:
            rows.take(line, row, len(header), found, places)
    problems = rows.all_problems()
    if problems:
        what = "a row" if len(problems) == 1 else f"{len(problems)} rows"
        raise DataError(
            describe_problems(
                f"{table}: {what} cannot be used.",
                first_of(problems, _LISTED_OF_ONE_CAUSE if rows.finds_none else LISTED_PROBLEMS),
                _where_to_look(table, places, rows.missing),
            )
        )
    numbers, class_names = rows.labels.numbers(without=None if needs_labels else MISSING)
    groups, group_names = rows.patients.numbers() if "patient" in found else (None, None)
    return ImageTable(
        images=ImageFiles(rows.files),
        labels=numbers,
        class_names=class_names,
        name=f"csv:{table}",
        groups=groups,
        group_names=group_names,
        masks=MaskFiles(rows.masks) if needs_masks else None,
    )


class _Words:
    """A column of words that repeat: each word once, and its number per row."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._rows = array("i")

    def append(self, word: str) -> None:
        self._rows.append(self._number.setdefault(word, len(self._number)))

    def numbers(self, without: Sequence[str] | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return class numbers, (row,) int32, and names; -1 for empty words and those left out."""
        words = list(self._number)
        known = [
            place
            for place, word in enumerate(words)
            if without is None or (word and word.lower() not in without)
        ]
        number = np.full(len(words), UNLABELLED, np.int32)
        number[known], names = number_labels([words[place] for place in known])
        return number[np.frombuffer(self._rows, np.int32)] if self._rows else number[:0], names

    def twins(self) -> list[tuple[str, str]]:
        """Return pairs of words that are one number."""
        return twins(self._number)

    def are_fractions(self) -> bool:
        """Return whether most rows have a fraction of their own: what a model predicts, and no class."""
        distinct = [word for word in self._number if word and word.lower() not in MISSING]
        is_many = len(distinct) > max(20, len(self._rows) // 2)
        return is_many and all(_FRACTION.fullmatch(word) for word in distinct)


class _Rows:
    """What is kept of each row: three columns, not the row."""

    def __init__(self, needs_labels: bool, needs_masks: bool) -> None:
        self.files, self.labels, self.patients = PathList(), _Words(), _Words()
        self.masks: list[Path | None] = []
        self.missing = ""
        self._needs_labels, self._needs_masks = needs_labels, needs_masks
        self._lines, self._problems = array("q"), list[tuple[int, str]]()

    def take(
        self, line: int, row: list[str], fields: int, found: Mapping[str, int], places: list[str]
    ) -> None:
        """Add a row, or what is wrong with it."""
        if len(row) != fields:
            self._problems.append((line, f"{len(row)} fields, the header has {fields}"))
            return
        image = row[found["image"]].strip()
        label = row[found["label"]].strip() if "label" in found else ""
        file = _find_image(places, image) if image else None
        if file is None:
            self._problems.append((line, f"no file {image}" if image else "no image"))
            self.missing = self.missing or image
        else:
            self.files.append(file)
            self._lines.append(line)
        if self._needs_labels:
            self._problems += [(line, words) for words in _label_problems(label)]
        if self._needs_masks:
            name = row[found["mask"]].strip()
            mask = _find_image(places, name) if name else None
            self.masks.append(None if mask is None else Path(mask))
            if mask is None:
                self._problems.append((line, f"no mask {name}" if name else "no mask"))
        self.labels.append(label)
        if "patient" in found:
            patient = row[found["patient"]].strip()
            if says_nothing(patient, "patient"):
                self._problems.append((line, "no patient"))
            self.patients.append(patient)

    @property
    def finds_none(self) -> bool:
        """Whether no row's image is found: a wrong folder, and not a wrong row."""
        return bool(self.missing) and not self._lines

    def all_problems(self) -> list[str]:
        """Return all problems, by line."""
        found = sorted([*self._problems, *self._repeated()], key=lambda problem: problem[0])
        problems = [f"- line {line}: {words}" for line, words in found]
        if not (self._lines or problems):
            problems.append("- no rows below the header")
        if self.labels.are_fractions() and self._needs_labels:
            problems.append(
                "- the labels are fractions, one of its own for most rows; a class is an integer or "
                "a word: name another column, data.columns = ['label=NAME']"
            )
        columns = (("label", self.labels), ("patient", self.patients))
        problems += [
            f"- {twin_problem(what, one, other)}"
            for what, words in columns[0 if self._needs_labels else 1 :]
            for one, other in words.twins()
        ]
        return problems

    def _repeated(self) -> list[tuple[int, str]]:
        """Return the files that an earlier line names, too."""
        return [
            (
                self._lines[again],
                f"{self.files[again].name} again, first on line {self._lines[first]}",
            )
            for first, again in self.files.repeated()
        ]


def _label_problems(label: str) -> list[str]:
    if not label:
        return ["no label"]
    if label.lower() in MISSING:
        return [
            f"the label {label!r} is what other programs write for a missing one. "
            "Remove the row, or call the class something else"
        ]
    return []


def _find_columns(
    table: Path,
    header: Sequence[str],
    given: Mapping[str, str],
    needs_labels: bool,
    needs_masks: bool,
) -> dict[str, int]:
    lower = [name.lower() for name in header]
    chosen = {
        name
        for column, names in COLUMNS.items()
        for name in ((given[column].lower(),) if column in given else names)
    }
    twice = sorted({name for name in lower if name in chosen and lower.count(name) > 1})
    if twice:
        raise DataError(
            f"{table}: the header has {', '.join(map(repr, twice))} more than once. Rename or remove "
            "one of these columns."
        )
    columns = {
        column: lower.index(name)
        for column, names in COLUMNS.items()
        for name in reversed((given[column].lower(),) if column in given else names)
        if name in lower
    }
    needed = ["image"] + needs_labels * ["label"] + needs_masks * ["mask"]
    problems = [
        f"- no column for the {column}: expected "
        + (repr(given[column]) if column in given else " or ".join(COLUMNS[column]))
        for column in COLUMNS
        if column not in columns and (column in given or column in needed)
    ]
    if problems:
        problems.append(f"- received: {', '.join(header) or 'an empty first line'}")
        raise DataError(
            describe_problems(
                f"{table}: the header does not fit.",
                problems,
                'Name the columns: data.columns = ["image=NAME", "label=NAME"] (--columns '
                "image=NAME label=NAME).",
            )
        )
    return columns


def _folders(table: Path, folder: str) -> list[str]:
    """Return the folders that image paths may start from."""
    places = [table.parent, table.with_suffix("")]
    if folder:
        named = Path(folder).expanduser()
        if not named.is_dir():
            beside = table.parent / named
            raise DataError(
                f"{named}: data.folder (--image-folder) is no folder (seen from {Path.cwd()})."
                + (f" There is {beside}." if beside.is_dir() else "")
            )
        places.insert(0, named)
    return [str(place) for place in places]


def _find_image(places: Sequence[str], image: str) -> str | None:
    return next((file for file in _candidates(places, image) if os.path.isfile(file)), None)


def _candidates(places: Sequence[str], image: str) -> Iterator[str]:
    # As text: a path object per row and place would take minutes for millions of rows.
    names = (image, image.replace("\\", "/")) if "\\" in image else (image,)
    if not image.isascii():
        # Files from a Mac have an accent behind its letter, where a table has both as one sign.
        names = (*names, *(normalize(form, name) for form in ("NFC", "NFD") for name in names))
    for name in names:
        for folder in places:
            file = name if folder == "." else os.path.join(folder, name)
            if "./" in file or "//" in file:
                file = str(Path(file))
            yield file
            yield from (file + suffix for suffix in SUFFIXES)


def _where_to_look(table: Path, places: Sequence[str], missing: str) -> str:
    """Return where images are looked for, and where a missing one lies; "" if none is missing."""
    if not missing:
        return ""
    words = (
        f"Image paths are looked for in {', '.join(places)}; name another folder with data.folder "
        "(--image-folder)"
    )
    beside = sorted(str(entry) for entry in table.parent.iterdir() if entry.is_dir())
    found = next((place for place in beside if _find_image([place], missing)), None)
    return (
        f"{words}." if found is None else f"{words}: {printable(missing)} is in {printable(found)}."
    )
