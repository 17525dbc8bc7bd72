"""Clip art of Debian's package openclipart-png: eight folders of drawings, a class each.

About 2,400 pictures in the public domain that differ in size from 16 pixels to 13,000. Install them by
`apt-get install openclipart-png`. Decoding takes a minute, once: the small images are kept in `runs`.
"""

import os
from pathlib import Path

import numpy as np

from efn_compose.data import load_table
from efn_compose.data.decoding.decode import resize_images
from efn_compose.data.table import ImageTable
from efn_compose.errors import DataError

FOLDER = Path("/usr/share/openclipart/png")
CLASSES = (
    "animals", "food", "geography", "office", "people", "recreation", "tools", "transportation",
)  # fmt: skip
#: Drawings that Pillow refuses to decode, since they have more than 178 million pixels.
TOO_LARGE = {"stop_sign_right_font_mig_.png"}


def clip_art(size: int, runs: Path = Path("runs")) -> ImageTable:
    """Return all drawings, each once, in square images of a size.

    Args:
        size: In pixels.
        runs: The folder that keeps them.
    """
    kept = runs / f"clip_art_{size}.npz"
    if not kept.exists():
        if not FOLDER.is_dir():
            raise DataError(f"{FOLDER} does not exist: apt-get install openclipart-png")
        images, labels = _decoded(size)
        runs.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".partial.npz")
        np.savez_compressed(partial, images=images, labels=labels)
        os.replace(partial, kept)
    with np.load(kept) as found:
        return ImageTable(list(found["images"]), found["labels"], CLASSES, "clip art")


def _decoded(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of all drawings that differ."""
    table = load_table(f"folder:{FOLDER}")
    names = np.array(table.class_names)[table.labels]
    numbers = np.array(
        [
            number
            for number, path in enumerate(table.images.paths)
            if names[number] in CLASSES and Path(path).name not in TOO_LARGE
        ]
    )
    images = resize_images(table.images, numbers, size, False)
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    first = np.sort(first)
    labels = np.array([CLASSES.index(name) for name in names[numbers[first]]], np.int32)
    return images[first], labels
