"""The images of a run, resized and split."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from efn_compose.data.decoding.unreadable import Unreadable, skip_unreadable
from efn_compose.data.holding import Holding
from efn_compose.data.identity import image_marks
from efn_compose.data.options import DataOptions
from efn_compose.data.pixels import once_if_cached, take
from efn_compose.data.sources import load_table
from efn_compose.data.split import PARTS, Split, split
from efn_compose.data.table import ChosenImages, ImageTable
from efn_compose.errors import DataError
from efn_compose.numerics.pixel_array import PixelArray, in_parts


@dataclass(frozen=True, eq=False)
class DataSet:
    """Three parts of images with labels, ready for training.

    Args:
        name: The source in short.
        class_names: One per class number.
        train_images: (image, size, size, 3) uint8 RGB; in memory or in the cache.
        train_labels: (image,) int32.
        validation_images: As above, for the search.
        validation_labels: As above.
        test_images: As above, for the verdict.
        test_labels: As above.
        split: The image numbers behind each part, counted without those left out.
        left_out: Images that cannot be decoded and were left out by choice.
        notes: Sentences about what the source holds beside these images.
        test_groups: (image,) numbers of the patients of the test images; None where none are known.
        marks: By part, (image,) uint64 of `image_marks`; empty for images of no source.
    """

    name: str
    class_names: tuple[str, ...]
    train_images: PixelArray
    train_labels: np.ndarray
    validation_images: PixelArray
    validation_labels: np.ndarray
    test_images: PixelArray
    test_labels: np.ndarray
    split: Split
    left_out: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()
    test_groups: np.ndarray | None = None
    marks: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.train_images.shape[1])

    @property
    def judging(self) -> dict[str, np.ndarray]:
        """Marks of the images that judge, by part; empty for images of no source."""
        return {part: self.marks[part] for part in PARTS[1:] if part in self.marks}

    @property
    def choosing(self) -> np.ndarray:
        """Marks (image,) uint64 of the images whose labels train or choose weights."""
        known = [self.marks[part] for part in PARTS[:2] if part in self.marks]
        return np.concatenate([np.zeros(0, np.uint64), *known])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over pixels, labels, class names and split."""
        images = [getattr(self, f"{part}_images") for part in PARTS]
        return once_if_cached(images, f"data set {self._hash(with_pixels=False)}", self._hash)

    def _hash(self, *, with_pixels: bool = True) -> str:
        digest = hashlib.sha256(repr((self.class_names, self.size)).encode())
        digest.update(self.split.to_json().encode())
        for part in PARTS:
            for some in in_parts(getattr(self, f"{part}_images")) if with_pixels else ():
                digest.update(np.ascontiguousarray(some, np.uint8).data)
            digest.update(np.ascontiguousarray(getattr(self, f"{part}_labels"), "<i4").data)
        return digest.hexdigest()


def load_data(
    options: DataOptions,
    seed: int,
    *,
    table: ImageTable | None = None,
    saved_split: Split | None = None,
    holding: Holding | None = None,
    show_progress: bool = True,
) -> DataSet:
    """Load, split and resize the images that the options name.

    Only images that are in the split are decoded, unless `unreadable_share` allows to
    leave some out: then all are, once more.

    Args:
        options: The `[data]` section.
        seed: Decides the split.
        table: The source's images, where they are listed already.
        saved_split: Use this split, of an earlier run, instead of drawing one.
        holding: Where decoded images are; in memory unless two copies take half of it.
        show_progress: Show a bar on a terminal when decoding takes long.

    Raises:
        DataError: Unknown or damaged source, or it cannot be split as asked.

    Example:
        >>> load_data(DataOptions("digits", size=32), seed=1).train_images.shape
        (1079, 32, 32, 3)
    """
    if table is None:
        table = load_table(options.source, options.columns, options.folder)
    left_out: Sequence[Unreadable] = ()
    if options.unreadable_share:
        table, left_out = skip_unreadable(
            table,
            at_most=options.unreadable_share,
            size=options.size,
            holding=holding,
            show_progress=show_progress,
        )
    parts = saved_split or split(table, options, seed)
    data = take_data(table, parts, options.size, holding=holding, show_progress=show_progress)
    marks = {part: image_marks(ChosenImages(table.images, getattr(parts, part))) for part in PARTS}
    return replace(data, left_out=tuple(left_out), notes=table.notes, marks=marks)


def take_data(
    table: ImageTable,
    parts: Split,
    size: int,
    *,
    holding: Holding | None = None,
    show_progress: bool = True,
) -> DataSet:
    """Decode and resize the images of a split.

    Args:
        table: The images.
        parts: Which of them, for which part.
        size: Height and width in pixels.
        holding: Where decoded images are; in memory unless two copies take half of it.
        show_progress: Show a bar on a terminal when it takes long.

    Raises:
        DataError: Images that cannot be decoded, or a split of another table.
    """
    table.all_labelled()
    together = np.concatenate([getattr(parts, part) for part in PARTS])
    if together.size and together.max() >= len(table):
        raise DataError(
            f"{table.name}: the saved split names image {together.max()}, but the source has only "
            f"{len(table)}. It was made from other data."
        )
    # All parts in one call, so that one error lists every damaged file.
    images = (holding or Holding()).hold(table.images, together, size, table.name, show_progress)
    ends = np.cumsum([len(getattr(parts, part)) for part in PARTS])
    fields: dict[str, Any] = {}
    for part, end in zip(PARTS, ends, strict=True):
        place = slice(end - len(getattr(parts, part)), end)
        fields[f"{part}_images"] = take(images, place)
        fields[f"{part}_labels"] = table.labels[together[place]]
    if table.groups is not None:
        fields["test_groups"] = table.groups[parts.test]
    return DataSet(name=table.name, class_names=table.class_names, split=parts, **fields)
