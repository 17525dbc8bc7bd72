"""The rows of a store: images, patients, labels and folds, the same for every model."""

import csv
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from efn_compose.data.content import CONTENT_FILE, differing, read_content
from efn_compose.data.folding.fold_table import COLUMNS
from efn_compose.errors import DataError, describe_problems

_LISTED = 5


@dataclass(frozen=True, eq=False)
class RowTable:
    """Images in one order, with the fold that each validates.

    Args:
        image: (row,) its file, or its number.
        patient: (row,) its patient, empty where there are no patients.
        label: (row,) int64 class numbers.
        fold: (row,) int64.
        class_names: One per class.
        content: Digests of some rows' pixels (`content_digests`); none in stores of earlier versions.
    """

    image: tuple[str, ...]
    patient: tuple[str, ...]
    label: np.ndarray
    fold: np.ndarray
    class_names: tuple[str, ...]
    content: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.image)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over images, patients, classes and folds: models of another one do not fit."""
        found = hashlib.sha256(repr(self.class_names).encode())
        for row in zip(
            self.image, self.patient, self.label.tolist(), self.fold.tolist(), strict=True
        ):
            found.update(repr(row).encode())
        return found.hexdigest()

    @cached_property
    def clusters(self) -> np.ndarray:
        """(row,) int64: rows of one patient share a number; without patients each has its own."""
        names = [patient or f"\0{number}" for number, patient in enumerate(self.patient)]
        return np.unique(names, return_inverse=True)[1].astype(np.int64)

    def problems(self) -> list[str]:
        """Return what makes folds useless for comparing models, as lines."""
        lines = []
        folds = np.unique(self.fold)
        if len(folds) < 2:
            lines.append("- one fold: outer folds need two or more")
        for fold in folds:
            rest = set(range(len(self.class_names))) - set(self.label[self.fold == fold].tolist())
            if rest:
                names = ", ".join(self.class_names[number] for number in sorted(rest))
                lines.append(f"- fold {fold} has no image of {names}")
        home: dict[str, int] = {}
        split = [
            patient
            for patient, fold in zip(self.patient, self.fold.tolist(), strict=True)
            if patient and home.setdefault(patient, fold) != fold
        ]
        if split:
            names = ", ".join(list(dict.fromkeys(split))[:_LISTED])
            lines.append(f"- {len(set(split))} patients are in several folds, such as {names}")
        return lines


def read_rows(path: str | os.PathLike[str]) -> RowTable:
    """Return the rows that a fold table tells, `folds.csv` of a run of trainings.

    Raises:
        DataError: No such file, or another kind of table.

    Example:
        >>> read_rows("runs/photos/folds.csv").class_names  # doctest: +SKIP
        ('cat', 'dog')
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file (seen from {Path.cwd()}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    if tuple(header) != COLUMNS:
        raise DataError(f"{path}: expected the columns {', '.join(COLUMNS)}. Received: {header}.")
    try:
        return replace(_from_rows(rows), content=read_content(path.with_name(CONTENT_FILE)))
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: not a table of folds ({error}).") from None


def _from_rows(rows: Sequence[Sequence[str]]) -> RowTable:
    ordered = sorted(rows, key=lambda row: int(row[0]))
    if [int(row[0]) for row in ordered] != list(range(len(ordered))):
        raise ValueError("image numbers are not 0, 1, 2, …")
    label = np.array([int(row[3]) for row in ordered], np.int64)
    names = dict(zip(label.tolist(), (row[4] for row in ordered), strict=True))
    gaps = [number for number in range(int(label.max(initial=-1)) + 1) if number not in names]
    if gaps:
        raise ValueError(f"no image is of class {gaps[0]}")
    return RowTable(
        image=tuple(row[1] for row in ordered),
        patient=tuple(row[2] for row in ordered),
        label=label,
        fold=np.array([int(row[5]) for row in ordered], np.int64),
        class_names=tuple(names[number] for number in range(len(names))),
    )


def refuse_other_rows(expected: RowTable, received: RowTable, what: str) -> None:
    """Raise `DataError` unless two models were made on the same images and folds.

    Args:
        expected: The rows of the store.
        received: The rows of what is to join it.
        what: Its name.
    """
    if expected.digest == received.digest:
        _refuse_other_pixels(expected, received, what)
        return
    problems = []
    if expected.class_names != received.class_names:
        problems.append(
            f"- classes: {', '.join(received.class_names)} instead of "
            f"{', '.join(expected.class_names)}"
        )
    if expected.image == received.image:
        for name in ("patient", "label", "fold"):
            ours, theirs = getattr(expected, name), getattr(received, name)
            odd = [n for n in range(len(expected)) if ours[n] != theirs[n]]
            if odd:
                shown = ", ".join(expected.image[n] for n in odd[:_LISTED])
                problems.append(f"- {len(odd)} images have another {name}, such as {shown}")
    else:
        ours, theirs = set(expected.image), set(received.image)
        missing = [name for name in expected.image if name not in theirs]
        foreign = [name for name in received.image if name not in ours]
        problems += [
            f"- {len(names)} images {words}, such as {', '.join(names[:_LISTED])}"
            for names, words in ((missing, "are missing"), (foreign, "are not ours"))
            if names
        ] or ["- the images stand in another order"]
    raise DataError(
        describe_problems(
            f"{what}: made on other folds ({received.digest[:12]} instead of "
            f"{expected.digest[:12]}).",
            problems,
            "All models need one fold table: train with validation.file = FOLDS.csv.",
        )
    )


def _refuse_other_pixels(expected: RowTable, received: RowTable, what: str) -> None:
    odd = differing(expected.content, received.content)
    if not odd:
        return
    compared = len(expected.content.keys() & received.content.keys())
    shown = ", ".join(expected.image[number] for number in odd[:_LISTED])
    raise DataError(
        f"{what}: made on other images of the same names: {len(odd)} of {compared} that were compared "
        f"differ in their pixels, such as {shown}. All models need the same images: train this one again."
    )
