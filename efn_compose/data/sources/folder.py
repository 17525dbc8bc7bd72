"""A folder of images with one subfolder per class."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from efn_compose.data.decoding.decode import ImageFiles
from efn_compose.data.table import UNLABELLED, ImageTable, printable
from efn_compose.errors import DataError, describe_problems, first_of

#: Classes that a note lists.
_LISTED = 5
#: Folders with one of these words in their names, and no others, above folders of equal names are a
#: split: `train`, `seg_train`, `training_set`, `val2017`.
_NUMBERED_PART = re.compile(r"(fold|split)[ _-]?\d+")
_WORD = re.compile(r"[a-z]+")
#: What Pillow has a name for and no decoder: documents, films, arrays.
_NOT_READ = frozenset(["PDF", "PALM", "MPEG", "HDF5", "GRIB", "BUFR"])
_PART_NAMES = frozenset(
    [
        "train",
        "training",
        "val",
        "valid",
        "validation",
        "dev",
        "test",
        "testing",
        "holdout",
        "eval",
        "evaluation",
    ]
)


def load_folder(path: str | os.PathLike[str], *, needs_labels: bool = True) -> ImageTable:
    """Return the images below a folder; each subfolder is a class.

    Classes are numbered in the order of their sorted names, images in the order of their
    sorted paths. Files without an image suffix and hidden ones are passed over.

    Args:
        path: Folder with one subfolder per class; images may lie deeper.
        needs_labels: Otherwise images may lie anywhere below, as `load_plain_folder` takes them.

    Raises:
        DataError: No such folder, fewer than two classes, or a class without images.

    Example:
        >>> load_folder("flowers").class_names  # doctest: +SKIP
        ('daisy', 'rose', 'tulip')
    """
    if not needs_labels:
        return load_plain_folder(path)
    root = Path(path)
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise DataError(
            f"{root}: {what} (seen from {Path.cwd()}). "
            "Expected one subfolder per class with images in it."
        )
    shown = [entry for entry in sorted(root.iterdir()) if not is_hidden(entry.name)]
    folders = [entry for entry in shown if entry.is_dir()]
    suffixes = _suffixes()
    loose = sum(entry.suffix.lower() in suffixes for entry in shown if not entry.is_dir())
    _refuse_split(root, folders)
    others: dict[str, Counter[str]] = {folder.name: Counter() for folder in folders}
    by_class = {folder.name: image_files(folder, others[folder.name]) for folder in folders}
    problems = [
        f"- {printable(name)}: no images in it{_only(others[name])}"
        for name, files in by_class.items()
        if not files
    ]
    if len(by_class) < 2:
        problems.append(
            f"- expected at least two subfolders, one per class; found {len(by_class)}"
            f" (and {loose} images beside them)"
        )
    if problems:
        raise DataError(
            describe_problems(f"{root}: not a folder of classes.", problems, "Remove or fill them.")
        )
    counts = [len(files) for files in by_class.values()]
    return ImageTable(
        images=ImageFiles([file for files in by_class.values() for file in files]),
        labels=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        class_names=tuple(printable(name) for name in by_class),
        name=f"folder:{root}",
        notes=(
            *passed_over_note(sum(others.values(), Counter())),
            *_loose_note(loose),
            *_nested_note(root, by_class),
        ),
    )


def _nested_note(root: Path, by_class: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Return a sentence where the classes may lie one folder further down."""
    if any(file.parent == root / name for name, files in by_class.items() for file in files):
        return ()
    inside = next(iter(by_class.values()))[0].relative_to(root).parts[:2]
    return (
        f"No folder of a class has images of its own, only folders with images, such as {'/'.join(inside)}. "
        f"The classes are {', '.join(first_of(map(printable, by_class), _LISTED))}: if these are no classes, "
        "name the folder that holds them.",
    )


def _loose_note(count: int) -> tuple[str, ...]:
    if count < 1:
        return ()
    what = "image lies" if count == 1 else "images lie"
    return (
        f"{count} {what} beside the folders of classes and {'is' if count == 1 else 'are'} passed over.",
    )


def load_plain_folder(path: str | os.PathLike[str]) -> ImageTable:
    """Return the images anywhere below a folder, in the order of their sorted paths.

    Two or more subfolders with images are classes, unless they are the parts of a split. All other
    images have no label.

    Args:
        path: The folder.

    Raises:
        DataError: No such folder, or no images below it.

    Example:
        >>> load_plain_folder("photos").class_names  # doctest: +SKIP
        ()
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (seen from {Path.cwd()}).")
    passed_over: Counter[str] = Counter()
    files = image_files(root, passed_over)
    if not files:
        raise DataError(f"{root}: no images below this folder{_only(passed_over)}.")
    places = [file.relative_to(root).parts for file in files]
    first = [parts[0] if len(parts) > 1 else None for parts in places]
    names = sorted({name for name in first if name is not None})
    if len(names) < 2 or _split_classes([root / name for name in names]):
        names = []
    number = {name: place for place, name in enumerate(names)}
    return ImageTable(
        images=ImageFiles(files),
        labels=np.array([number.get(name or "", UNLABELLED) for name in first], np.int32),
        class_names=tuple(map(printable, names)),
        name=f"folder:{root}",
        notes=passed_over_note(passed_over),
    )


def _split_classes(folders: Sequence[Path]) -> set[str]:
    """Return the classes below folders that are the parts of a split; none where they are not."""
    if len(folders) < 2 or not all(map(_is_part, folders)):
        return set()
    inner = [
        {entry.name for entry in folder.iterdir() if entry.is_dir() and not is_hidden(entry.name)}
        for folder in folders
    ]
    # A part without folders is one of unlabelled images, if another one holds classes.
    filled = [names for names in inner if names]
    if not filled or (len(filled) < len(inner) and min(map(len, filled)) < 2):
        return set()
    return set.intersection(*filled)


def _is_part(folder: Path) -> bool:
    name = folder.name.lower()
    return not _PART_NAMES.isdisjoint(_WORD.findall(name)) or bool(_NUMBERED_PART.fullmatch(name))


def _refuse_split(root: Path, folders: Sequence[Path]) -> None:
    """Raise where the folders are the parts of a split and the classes lie one level deeper."""
    shared = _split_classes(folders)
    if shared:
        parts, classes = ", ".join(folder.name for folder in folders), ", ".join(sorted(shared))
        first = next((part for part in folders if part.name.startswith("train")), folders[0])
        raise DataError(
            f"{root}: the folders {parts} are the parts of a split, with the classes {classes} below "
            f"them; they are no classes. Name one part, e.g. folder:{first}, or put the images "
            "of all parts into one folder per class: the parts of a run are drawn from its source."
        )


def _suffixes() -> frozenset[str]:
    """Return the suffixes of images that can be read, in lower case."""
    from PIL import Image

    formats = Image.registered_extensions()
    return frozenset(suffix for suffix, name in formats.items() if name not in _NOT_READ)


def image_files(folder: Path, passed_over: Counter[str] | None = None) -> list[Path]:
    """Return the images below a folder, sorted; hidden files and folders are passed over.

    Links to folders are followed, each folder once.

    Args:
        folder: The folder.
        passed_over: Counts by suffix the files that are no images.
    """
    suffixes = _suffixes()
    # A link to a folder that holds this one would bring in the images of its neighbours.
    inside = Path(os.path.realpath(folder))
    found, seen = [], {str(place) for place in (inside, *inside.parents)}
    seen |= {os.path.realpath(place) for place in Path(os.path.abspath(folder)).parents}
    for place, folders, files in os.walk(folder, followlinks=True):
        entered = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(place, name))
            if not is_hidden(name) and real not in seen:
                seen.add(real)
                entered.append(name)
        folders[:] = entered
        for name in files:
            suffix = Path(name).suffix.lower()
            if is_hidden(name):
                continue
            if suffix in suffixes:
                found.append(Path(place, name))
            elif passed_over is not None:
                passed_over[suffix or "no suffix"] += 1
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one that programs keep for themselves.

    Example:
        >>> is_hidden(".DS_Store"), is_hidden("__MACOSX"), is_hidden("cats")
        (True, True, False)
    """
    return name.startswith(".") or name == "__MACOSX"


def _only(passed_over: Counter[str]) -> str:
    """Return what lies in a folder without images: formats that cannot be read here."""
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in passed_over.most_common())
    return f" that can be read here, only {kinds}" if kinds else ""


def passed_over_note(passed_over: Counter[str]) -> tuple[str, ...]:
    """Return the sentence about files that are no images, where there are any.

    Example:
        >>> passed_over_note(Counter({".heic": 2, ".txt": 1}))
        ('3 files are no images that can be read here and were passed over: 2 .heic, 1 .txt.',)
    """
    if not passed_over:
        return ()
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in passed_over.most_common())
    total = sum(passed_over.values())
    what = "file is no image" if total == 1 else "files are no images"
    verb = "was" if total == 1 else "were"
    return (f"{total} {what} that can be read here and {verb} passed over: {kinds}.",)
