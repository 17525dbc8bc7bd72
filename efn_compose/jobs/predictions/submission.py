"""A competition's template filled with predictions: its ids, its columns, its order."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from unicodedata import normalize

import numpy as np

from efn_compose.errors import DataError, describe_problems

_LISTED = 5


@dataclass(frozen=True, eq=False)
class Template:
    """A template, understood: which image each row wants, and what each column wants.

    Args:
        header: Names of all columns; the first one holds ids.
        ids: (row,) as the template writes them.
        places: (row,) place of the row's image among the predicted images.
        wants: For each column behind the first: a class number, or None for the predicted class's
            name.
        foreign: Images that the template does not ask for.
        left_out: Classes without a column, where others have one.
        meant: The class whose probability a lone column of another name gets; "" for no such column.
    """

    header: tuple[str, ...]
    ids: tuple[str, ...]
    places: np.ndarray
    wants: tuple[int | None, ...]
    foreign: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    meant: str = ""

    @property
    def notes(self) -> list[str]:
        """What a person should know: what was guessed, and what the template does not ask for."""
        notes = []
        if self.meant:
            # Of "melanoma" and "nevus" the second one is not what a column "target" asks for.
            notes.append(
                f"column {self.header[1]} gets the probability of {self.meant}, the second class; if "
                "the first is asked for, give the column its name in the template"
            )
        if self.foreign:
            listed = ", ".join(self.foreign[:_LISTED])
            count = len(self.foreign)
            who = "1 image is" if count == 1 else f"{count} images are"
            notes.append(f"{who} not in the template and not in the submission, such as {listed}")
        if self.left_out:
            notes.append(f"the template has no column for {', '.join(self.left_out)}")
        return notes

    def fill(
        self, probability: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Return the submission as CSV text.

        Args:
            probability: (image, class).
            predicted: (image,) class numbers.
            class_names: One per class.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        for name, place in zip(self.ids, self.places, strict=True):
            values = [
                class_names[predicted[place]] if want is None else str(probability[place, want])
                for want in self.wants
            ]
            writer.writerow([name, *values])
        return text.getvalue()


def read_template(path: Path, images: Sequence[str], class_names: Sequence[str]) -> Template:
    """Read a template and match its ids with images and its columns with classes.

    The first column holds ids: the path of an image, the end of its path, its file name, or its file
    name without the suffix. A column with a class's name wants its probability. A single other column
    wants class names where the template shows some. Otherwise it wants the probability of the second
    of two classes, and class names of more than two if it is empty.

    Args:
        path: CSV, UTF-8, with a header.
        images: Names of the images that are predicted.
        class_names: One per class.

    Raises:
        DataError: Not such a table, ids without an image, or columns that ask for no class; all
            problems are listed.
    """
    header, rows = read_rows(path, "a header, a column of ids, a column to fill, and rows")
    places, problems = match_images([row[0] for row in rows], images)
    wants, more = _columns(header[1:], [row[1:] for row in rows], class_names)
    problems += more
    if problems:
        raise DataError(describe_problems(f"{path}: this template cannot be filled.", problems))
    asked = set(places)
    return Template(
        header=tuple(header),
        ids=tuple(row[0] for row in rows),
        places=np.array(places, np.int64),
        wants=tuple(wants),
        foreign=tuple(name for place, name in enumerate(images) if place not in asked),
        left_out=_left_out(wants, class_names),
        meant=_meant(header[1:], wants, class_names),
    )


def _meant(names: Sequence[str], wants: Sequence[int | None], class_names: Sequence[str]) -> str:
    """Return the class that is guessed for a lone column; "" where the column names its class."""
    if len(names) > 1 or wants[0] is None:
        return ""
    name = class_names[wants[0]]
    return "" if names[0].casefold() in {one.casefold() for one in class_names} else name


def _left_out(wants: Sequence[int | None], class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes without a column; the other one of two follows from the first."""
    if None in wants or len(class_names) == 2:
        return ()
    return tuple(name for number, name in enumerate(class_names) if number not in wants)


def read_rows(path: Path, wanted: str) -> tuple[list[str], list[list[str]]]:
    """Return the header of a CSV file and its rows, all as long as the header.

    Args:
        path: In UTF-8; two columns or more.
        wanted: What is expected in it, for an error.

    Raises:
        DataError: The file is no such table.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}; seen from {Path.cwd()})."
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    if len(rows) < 2 or len(rows[0]) < 2:
        raise DataError(f"{path}: expected {wanted}.")
    short = [number for number, row in enumerate(rows, 1) if len(row) != len(rows[0])]
    if short:
        raise DataError(f"{path}: row {short[0]} has other than {len(rows[0])} fields.")
    return rows[0], rows[1:]


def match_images(ids: Sequence[str], images: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the place of each id's image, -1 without one, and the problems as lines.

    Args:
        ids: Paths, ends of paths such as `b/c.png`, file names, or file names without suffix; accents
            in either form of Unicode.
        images: Names of images.
    """
    known: dict[str, set[int]] = {}
    for place, image in enumerate(images):
        parts = PurePath(image).parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        for key in (image, PurePath(image).stem, *ends):
            known.setdefault(normalize("NFC", key), set()).add(place)
    found = [known.get(normalize("NFC", name), set()) for name in ids]
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    problems = []
    without = [name for name, places in zip(ids, found, strict=True) if not places]
    unclear = [name for name, places in zip(ids, found, strict=True) if len(places) > 1]
    for one, several, names in (
        ("id has no image", "ids have no image", without),
        ("id fits several images", "ids fit several images", unclear),
        ("id stands in several rows", "ids stand in several rows", repeated),
    ):
        if names:
            what, listed = one if len(names) == 1 else several, ", ".join(names[:_LISTED])
            problems.append(f"- {len(names)} {what}, such as {listed}")
    if problems:
        problems.append(f"  images are called {', '.join(map(str, images[:2]))}, …")
    return [min(places, default=-1) for places in found], problems


def _columns(
    names: Sequence[str], rows: Sequence[Sequence[str]], class_names: Sequence[str]
) -> tuple[list[int | None], list[str]]:
    """Return what each column wants, and the problems."""
    by_name = {name.casefold(): number for number, name in enumerate(class_names)}
    # Of classes that differ in their case alone, each is called by its very name.
    exact = {name: number for number, name in enumerate(class_names)}
    places = [exact.get(name, by_name.get(name.casefold())) for name in names]
    unknown = [name for name, place in zip(names, places, strict=True) if place is None]
    if not unknown:
        return places, []
    if len(names) == 1:
        shown = {row[0].casefold() for row in rows} - {""}
        if shown and shown <= by_name.keys() and not _are_numbers(shown, len(class_names)):
            return [None], []
        if len(class_names) == 2:
            return [1], []
        if not shown:
            return [None], []
        foreign = sorted({row[0] for row in rows if row[0].casefold() not in by_name} - {""})
        return [None], [
            f"- column {names[0]} shows {', '.join(foreign[:_LISTED])}; of {len(class_names)} classes it "
            f"can only be given names. Empty it, let it show names ({', '.join(class_names)}), or give "
            "each class a column with its name"
        ]
    return [None] * len(names), [
        f"- columns {', '.join(unknown)} are no classes; allowed: {', '.join(class_names)}"
    ]


def _are_numbers(shown: set[str], classes: int) -> bool:
    """Return whether two classes are called 0 and 1, so that a template's numbers are probabilities.

    pandas writes 0.0 and 1.0 where a column once had a gap.
    """
    return classes == 2 and shown <= {"0", "1", "0.0", "1.0"}
