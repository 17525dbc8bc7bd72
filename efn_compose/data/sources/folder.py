"""A folder of images with one subfolder per class."""

import os
from pathlib import Path

import numpy as np

from efn_compose.data.decode import ImageFiles
from efn_compose.data.table import ImageTable, printable
from efn_compose.errors import DataError, describe_problems


def load_folder(path: str | os.PathLike[str]) -> ImageTable:
    """Return the images below a folder; each subfolder is a class.

    Classes are numbered in the order of their sorted names, images in the order of their
    sorted paths. Files without an image suffix and hidden ones are passed over.

    Args:
        path: Folder with one subfolder per class; images may lie deeper.

    Raises:
        DataError: No such folder, fewer than two classes, or a class without images.

    Example:
        >>> load_folder("flowers").class_names  # doctest: +SKIP
        ('daisy', 'rose', 'tulip')
    """
    root = Path(path)
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise DataError(
            f"{root}: {what} (seen from {Path.cwd()}). "
            "Expected one subfolder per class with images in it."
        )
    by_class = {
        folder.name: image_files(folder)
        for folder in sorted(root.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    }
    problems = [
        f"- {printable(name)}: no images in it" for name, files in by_class.items() if not files
    ]
    if len(by_class) < 2:
        loose = len(image_files(root)) - sum(len(files) for files in by_class.values())
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
    )


def image_files(folder: Path) -> list[Path]:
    """Return the images below a folder, sorted; hidden files and folders are passed over."""
    from PIL import Image

    suffixes = Image.registered_extensions()
    found = []
    for place, folders, files in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes
        ]
    return sorted(found)
