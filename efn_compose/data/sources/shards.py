"""Images inside of larger files: which files a source names, and images as ranges of their bytes."""

import glob
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from efn_compose.data.decoding.decode import decode_bytes
from efn_compose.data.identity import file_identity, file_sample
from efn_compose.data.sources.words import says_nothing, twin_problem, twins
from efn_compose.data.table import UNLABELLED, ImageError, number_column, printable
from efn_compose.errors import DataError, describe_problems

#: Columns that a person may name, and the names that are looked for where nobody does.
COLUMN_NAMES = {
    "image": ("image", "image/encoded", "img", "jpeg", "picture"),
    "label": ("label", "image/class/label", "target", "class", "labels"),
    "patient": ("patient", "patient_id", "group"),
}


def shard_files(path: str | os.PathLike[str], suffixes: Sequence[str]) -> list[Path]:
    """Return the files that a path names, sorted: a file, a pattern, or a folder of such files.

    Args:
        path: Such as "data/train-*.tfrecord".
        suffixes: What files of a folder are taken; others are passed over.

    Raises:
        DataError: No such file.
    """
    root = Path(path)
    if root.is_dir():
        found = [file for file in root.rglob("*") if file.name.lower().endswith(tuple(suffixes))]
        what = f"no files {', '.join(f'*{suffix}' for suffix in suffixes)} below this folder"
    elif root.exists():
        return [root]
    else:
        found = [Path(name) for name in glob.glob(os.fspath(path), recursive=True)]
        what = f"no such file, and no files of such a pattern (seen from {Path.cwd()})"
    if not found:
        raise DataError(f"{root}: {what}.")
    return sorted(found)


def given_names(
    source: str, columns: Sequence[str], known: Collection[str] = COLUMN_NAMES
) -> dict[str, str]:
    """Return the name of each column that was given as "image=NAME".

    Args:
        source: For the message.
        columns: As given.
        known: Columns that may be named.

    Raises:
        DataError: Another form, or another column.
    """
    given, problems = {}, []
    for entry in columns:
        column, _, name = (part.strip() for part in entry.partition("="))
        if column not in known or not name:
            allowed = ", ".join(f"{column}=NAME" for column in known)
            problems.append(f"- {entry!r}; allowed: {allowed}")
        given[column] = name
    if problems:
        raise DataError(
            describe_problems(f"{source}: data.columns (--columns) does not fit.", problems)
        )
    return given


def find_names(
    source: str,
    present: Mapping[str, str],
    columns: Sequence[str],
    needs_labels: bool,
    candidates: Mapping[str, Sequence[str]] = COLUMN_NAMES,
) -> dict[str, str]:
    """Return what a source calls image, label and patient.

    Args:
        source: For messages.
        present: What it holds: kind by name.
        columns: "image=NAME", … as given by a person.
        needs_labels: Whether there must be a label.
        candidates: Names to look for where none is given.

    Raises:
        DataError: A name that is given or needed is not there; those present are listed.
    """
    given, found, problems = given_names(source, columns), {}, []
    for column, names in candidates.items():
        wanted = (given[column],) if column in given else names
        name = next((name for name in wanted if name in present), None)
        if name is not None:
            found[column] = name
        elif column in given or column == "image" or (column == "label" and needs_labels):
            problems.append(f"- nothing for the {column}: expected {' or '.join(wanted)}")
    if problems:
        listed = ", ".join(f"{name} ({kind})" for name, kind in present.items()) or "nothing"
        raise DataError(
            describe_problems(
                f"{source}: its columns do not fit.",
                [*problems, f"- present: {listed}"],
                'Name them: data.columns = ["image=NAME", "label=NAME"] (--columns image=NAME).',
            )
        )
    return found


def float_labels(source: str, name: str, kind: str) -> DataError:
    """Return the error for labels that are fractions."""
    return DataError(
        f"{source}: the label {name!r} is {kind}. A class is an integer or a word. Name another "
        "column (data.columns = ['label=NAME']), or write classes."
    )


def numbered(
    source: str, values: np.ndarray, is_known: np.ndarray, needs_labels: bool, what: str = "label"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return class numbers (image,) int32 and class names of a column of labels.

    Args:
        source: For messages.
        values: (image,) integers or strings.
        is_known: (image,) whether an image has a label.
        needs_labels: Whether all must have one.
        what: What they are, for messages.

    Raises:
        DataError: Some have none, or two words are one number.
    """
    if values.dtype.kind in "OU":
        words = np.unique(values[is_known]).tolist()
        pairs = twins(words)
        if needs_labels and pairs:
            raise DataError(f"{source}: {twin_problem(what, *pairs[0])}.")
        without = [word for word in words if says_nothing(word, what)]
        if without:
            is_known = is_known & ~np.isin(values, without)
    missing = np.flatnonzero(~is_known)
    if needs_labels and len(missing):
        raise DataError(
            f"{source}: {len(missing)} of {len(values)} images have no {what}, the first is image "
            f"{missing[0]}."
        )
    numbers = np.full(len(values), UNLABELLED, np.int32)
    numbers[is_known], names = number_column(values[is_known])
    return numbers, names


class ByteRanges:
    """Encoded images that lie in larger files, read and decoded when asked for.

    Args:
        files: The files.
        file_of: (image,) number of the file.
        start: (image,) first byte.
        length: (image,) bytes.
        unwrap: Takes the image's own bytes out of what lies there.
        feature: Which of several images that lie there it takes.
    """

    def __init__(
        self,
        files: Sequence[Path],
        file_of: np.ndarray,
        start: np.ndarray,
        length: np.ndarray,
        unwrap: Callable[[bytes], bytes] | None = None,
        feature: str = "",
    ) -> None:
        self._files, self._unwrap, self._feature = tuple(files), unwrap, feature
        self._file_of, self._start, self._length = file_of, start, length

    def __len__(self) -> int:
        return len(self._start)

    def __getitem__(self, index: int, /) -> np.ndarray:
        path, length = self._files[self._file_of[index]], int(self._length[index])
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ImageError(f"{self.name_of(index)}: {error.strerror}") from None
        try:
            content = os.pread(file, length, int(self._start[index]))
        finally:
            os.close(file)
        if len(content) < length:
            raise ImageError(f"{self.name_of(index)}: the file ends within it")
        return decode_bytes(self._unwrap(content) if self._unwrap else content, self.name_of(index))

    def name_of(self, index: int) -> str:
        """Return the file, and where the image lies in it."""
        return f"{printable(self._files[self._file_of[index]])} at byte {self._start[index]}"

    def identities(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield what each image is known by without being decoded."""
        files = [file_identity(file) for file in self._files]
        which = f"\0{self._feature}" if self._feature else ""
        for number in numbers:
            place = f"\0{self._start[number]}\0{self._length[number]}{which}".encode()
            yield files[self._file_of[number]] + place

    def samples(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield the length of each image's bytes and some of them."""
        for number in numbers:
            file = self._files[self._file_of[number]]
            found = file_sample(file, int(self._start[number]), int(self._length[number]))
            yield found + self._feature.encode()
