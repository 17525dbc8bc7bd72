"""A table of image files with labels and, where known, patients."""

import csv
import os
from pathlib import Path

from efn_compose.data.decode import ImageFiles
from efn_compose.data.table import ImageTable, number_labels
from efn_compose.errors import DataError, describe_problems

#: Header names that each column may have, the first match counts; letter case does not.
COLUMNS = {
    "image": ("image", "path", "image_name"),
    "label": ("label", "target"),
    "patient": ("patient", "patient_id", "group"),
}
#: Tried where a row names an image without its suffix.
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
LISTED_PROBLEMS = 30


def load_csv(path: str | os.PathLike[str]) -> ImageTable:
    """Return the images that a comma-separated table with a header line lists.

    Args:
        path: The table. Image paths are absolute, or relative to the table's folder or to a
            folder beside it with the table's name (`train.csv` and `train/`); the suffix may
            be left out. Columns: image|path|image_name, label|target, and optionally
            patient|patient_id|group; others are passed over.

    Raises:
        DataError: No such file, no such columns, or rows without an image, label or patient;
            all are listed by line.

    Example:
        >>> load_csv("train.csv").groups.max()  # doctest: +SKIP
        2055
    """
    table = Path(path)
    header, rows = _read(table)
    columns = _find_columns(table, header)
    problems: list[str] = []
    files: list[Path] = []
    labels: list[str] = []
    patients: list[str] = []
    first_line: dict[Path, int] = {}
    for line, row in rows:
        if len(row) != len(header):
            problems.append(f"- line {line}: {len(row)} fields, the header has {len(header)}")
            continue
        image, label = row[columns["image"]].strip(), row[columns["label"]].strip()
        file = _find_image(table, image) if image else None
        if file is None:
            problems.append(f"- line {line}: " + (f"no file {image}" if image else "no image"))
        elif file in first_line:
            problems.append(f"- line {line}: {image} again, first on line {first_line[file]}")
        else:
            first_line[file] = line
            files.append(file)
        if not label:
            problems.append(f"- line {line}: no label")
        labels.append(label)
        if "patient" in columns:
            patient = row[columns["patient"]].strip()
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
                f"Image paths are looked for in {table.parent} and {table.with_suffix('')}.",
            )
        )
    numbers, class_names = number_labels(labels)
    groups, group_names = number_labels(patients) if patients else (None, None)
    return ImageTable(
        images=ImageFiles(files),
        labels=numbers,
        class_names=class_names,
        name=f"csv:{table}",
        groups=groups,
        group_names=group_names,
    )


def _read(table: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    if not table.is_file():
        raise DataError(f"{table}: no such file (seen from {Path.cwd()}).")
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: not a CSV file in UTF-8 ({error}).") from None
    return header, rows


def _find_columns(table: Path, header: list[str]) -> dict[str, int]:
    columns = {
        column: header.index(name)
        for column, names in COLUMNS.items()
        for name in reversed(names)
        if name in header
    }
    problems = [
        f"- no column for the {column}: expected {' or '.join(COLUMNS[column])}"
        for column in ("image", "label")
        if column not in columns
    ]
    if problems:
        received = ", ".join(header) or "an empty first line"
        problems.append(f"- received: {received}")
        if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
            problems.append("- fields must be separated by commas")
        raise DataError(describe_problems(f"{table}: the header does not fit.", problems))
    return columns


def _find_image(table: Path, image: str) -> Path | None:
    for folder in (table.parent, table.with_suffix("")):
        file = folder / image
        candidates = [file, *(file.with_name(file.name + suffix) for suffix in SUFFIXES)]
        for candidate in candidates:
            if os.path.isfile(candidate):
                return candidate
    return None


def _shorten(problems: list[str]) -> list[str]:
    if len(problems) <= LISTED_PROBLEMS:
        return problems
    return [*problems[:LISTED_PROBLEMS], f"… and {len(problems) - LISTED_PROBLEMS} more"]
