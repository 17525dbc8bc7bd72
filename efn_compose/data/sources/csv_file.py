"""A table of image files with labels and, where known, patients."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from efn_compose.data.decode import ImageFiles
from efn_compose.data.sources.csv_text import read_rows
from efn_compose.data.table import UNLABELLED, ImageTable, number_labels
from efn_compose.errors import DataError, describe_problems

#: Header names that each column may have, the first match counts; letter case does not.
COLUMNS = {
    "image": ("image", "path", "image_name", "image_id", "file_name", "filename", "file"),
    "label": ("label", "target", "class"),
    "patient": ("patient", "patient_id", "group"),
}
#: Tried where a row names an image without its suffix.
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
#: What pandas, numpy, R and Excel write where a label is missing; letter case does not count.
MISSING = ("nan", "<na>", "nat", "#n/a", "n/a", "null")
LISTED_PROBLEMS = 30


def load_csv(
    path: str | os.PathLike[str],
    columns: Sequence[str] = (),
    folder: str = "",
    *,
    needs_labels: bool = True,
) -> ImageTable:
    """Return the images that a table with a header line lists.

    Args:
        path: The table, in UTF-8 or UTF-16, its fields separated by commas, semicolons or tabs.
            Image paths are absolute, or relative to the table's folder or to a folder beside it
            with the table's name (`train.csv` and `train/`); the suffix may be left out, and
            backslashes are read as slashes where that finds the file.
        columns: "image=NAME", "label=NAME", "patient=NAME" each, where the header has other names
            than those in `COLUMNS`; all other columns are passed over.
        folder: A further folder that image paths may start from.
        needs_labels: Whether every row must have a label.

    Raises:
        DataError: No such file, no such columns, or rows without an image, label or patient;
            all are listed by line.

    Example:
        >>> load_csv("train.csv", ["image=isic_id"], "jpeg").groups.max()  # doctest: +SKIP
        2055
    """
    table = Path(path)
    header, rows = read_rows(table)
    found = _find_columns(table, header, _given_columns(table, columns), needs_labels)
    places = _folders(table, folder)
    problems: list[str] = []
    files: list[Path] = []
    labels: list[str] = []
    patients: list[str] = []
    first_line: dict[Path, int] = {}
    for line, row in rows:
        if len(row) != len(header):
            problems.append(f"- line {line}: {len(row)} fields, the header has {len(header)}")
            continue
        image = row[found["image"]].strip()
        label = row[found["label"]].strip() if "label" in found else ""
        file = _find_image(places, image) if image else None
        if file is None:
            problems.append(f"- line {line}: " + (f"no file {image}" if image else "no image"))
        elif file in first_line:
            problems.append(f"- line {line}: {image} again, first on line {first_line[file]}")
        else:
            first_line[file] = line
            files.append(file)
        problems += _label_problems(line, label) if needs_labels else []
        labels.append(label)
        if "patient" in found:
            patient = row[found["patient"]].strip()
            if not patient:
                problems.append(f"- line {line}: no patient")
            patients.append(patient)
    if not rows:
        problems.append("- no rows below the header")
    if problems:
        raise DataError(
            describe_problems(
                f"{table}: {len(problems)} rows cannot be used.",
                _shorten(problems),
                f"Image paths are looked for in {', '.join(map(str, places))}; name another folder "
                "with data.folder (--image-folder).",
            )
        )
    numbers, class_names = number_labels(labels) if needs_labels else _number_some(labels)
    groups, group_names = number_labels(patients) if patients else (None, None)
    return ImageTable(
        images=ImageFiles(files),
        labels=numbers,
        class_names=class_names,
        name=f"csv:{table}",
        groups=groups,
        group_names=group_names,
    )


def _number_some(labels: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return class numbers and names; `UNLABELLED` where a label is missing."""
    numbers = np.full(len(labels), UNLABELLED, np.int32)
    known = [place for place, label in enumerate(labels) if label and label.lower() not in MISSING]
    numbers[known], class_names = number_labels([labels[place] for place in known])
    return numbers, class_names


def _label_problems(line: int, label: str) -> list[str]:
    if not label:
        return [f"- line {line}: no label"]
    if label.lower() in MISSING:
        return [
            f"- line {line}: the label {label!r} is what other programs write for a missing one. "
            "Remove the row, or call the class something else"
        ]
    return []


def _given_columns(table: Path, columns: Sequence[str]) -> dict[str, str]:
    """Return the header's name of each column that was named."""
    given, problems = {}, []
    for entry in columns:
        column, equals, name = entry.partition("=")
        column, name = column.strip(), name.strip()
        if not equals or column not in COLUMNS or not name:
            problems.append(f"- {entry!r}; allowed: {', '.join(f'{c}=NAME' for c in COLUMNS)}")
        else:
            given[column] = name
    if problems:
        raise DataError(
            describe_problems(f"{table}: data.columns (--columns) does not fit.", problems)
        )
    return given


def _find_columns(
    table: Path, header: Sequence[str], given: Mapping[str, str], needs_labels: bool
) -> dict[str, int]:
    lower = [name.lower() for name in header]
    columns = {
        column: lower.index(name)
        for column, names in COLUMNS.items()
        for name in reversed((given[column].lower(),) if column in given else names)
        if name in lower
    }
    needed = ("image", "label") if needs_labels else ("image",)
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


def _folders(table: Path, folder: str) -> list[Path]:
    """Return the folders that image paths may start from."""
    places = [table.parent, table.with_suffix("")]
    if folder:
        named = Path(folder).expanduser()
        if not named.is_dir():
            raise DataError(
                f"{named}: data.folder (--image-folder) is no folder (seen from {Path.cwd()})."
            )
        places.insert(0, named)
    return places


def _find_image(places: Sequence[Path], image: str) -> Path | None:
    return next((file for file in _candidates(places, image) if os.path.isfile(file)), None)


def _candidates(places: Sequence[Path], image: str) -> Iterator[Path]:
    for name in dict.fromkeys((image, image.replace("\\", "/"))):
        for folder in places:
            file = folder / name
            yield file
            yield from (file.with_name(file.name + suffix) for suffix in SUFFIXES)


def _shorten(problems: list[str]) -> list[str]:
    if len(problems) <= LISTED_PROBLEMS:
        return problems
    return [*problems[:LISTED_PROBLEMS], f"… and {len(problems) - LISTED_PROBLEMS} more"]
