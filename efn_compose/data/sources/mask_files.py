"""Masks beside image files, found by a pattern of their names."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from efn_compose.data.decoding.decode import ImageFiles
from efn_compose.data.masks.masks import MaskFiles
from efn_compose.data.table import UNLABELLED, ImageTable, number_labels, printable
from efn_compose.errors import ConfigError, DataError, describe_problems, first_of

#: Images without a mask that a message lists.
_LISTED = 30


def with_mask_files(table: ImageTable, pattern: str) -> ImageTable:
    """Return a table with the mask file of each image.

    Files that are masks of others are taken out of the images, so that both may lie in one folder.
    Classes of which nothing is left but one, such as the folder that the images lie in, are no labels.

    Args:
        table: Of image files.
        pattern: Path of a mask; `*` stands for the name of its image without suffix. A relative path
            starts at the image's folder: "*_segmentation.png", "../masks/*.png".

    Raises:
        ConfigError: The pattern has no single `*`.
        DataError: Not image files, or images have no mask; all are listed.

    Example:
        >>> table = load_folder("isic/images", needs_labels=False)  # doctest: +SKIP
        >>> with_mask_files(table, "../masks/*_segmentation.png")  # doctest: +SKIP
    """
    if pattern.count("*") != 1:
        raise ConfigError(
            "data.masks: one * stands for the name of an image, as in '../masks/*_segmentation.png'. "
            f"Received: {pattern!r}."
        )
    paths = image_paths(table)
    masks = [_mask_of(path, pattern) for path in paths]
    are_masks = {os.path.realpath(mask) for mask in masks if mask.is_file()}
    kept = np.array([n for n, p in enumerate(paths) if os.path.realpath(p) not in are_masks], int)
    if len(paths) and not len(kept):
        raise ConfigError(
            f"data.masks: {pattern!r} names the images of {table.name} themselves. Masks lie in another "
            "folder, or have other names than their images."
        )
    missing = [(paths[n], masks[n]) for n in kept if not masks[n].is_file()]
    if missing or not len(kept):
        refuse_missing(table.name, missing, len(kept))
    chosen = replace(
        table.chosen(kept),
        images=ImageFiles([paths[n] for n in kept]),
        masks=MaskFiles([masks[n] for n in kept]),
    )
    return _without_lone_class(chosen)


def image_paths(table: ImageTable) -> list[Path]:
    """Return the file of each image.

    Raises:
        DataError: The images are no files.
    """
    name_of = getattr(table.images, "name_of", None)
    if name_of is None:
        raise DataError(
            f"{table.name}: its images are no files, so that no masks lie beside them. A pattern of "
            "masks is for folder:PATH and csv:PATH; an npz file holds them as its array 'masks'."
        )
    return [Path(name_of(number)) for number in range(len(table))]


def refuse_missing(name: str, missing: Sequence[tuple[Path, Path]], total: int) -> None:
    """Raise `DataError` with the images that have no mask, and where it was looked for."""
    lines = (f"- {printable(image)}: no {printable(mask)}" for image, mask in missing)
    raise DataError(
        describe_problems(
            f"{name}: {len(missing)} of {total} images have no mask.",
            first_of(lines, _LISTED),
            "Add the masks, or remove these images. Where all are missing, data.masks does not fit.",
        )
    )


def _mask_of(image: Path, pattern: str) -> Path:
    return image.parent / os.path.expanduser(pattern).replace("*", image.stem)


def _without_lone_class(table: ImageTable) -> ImageTable:
    """Return a table whose labels tell images apart, or that has none."""
    known = table.labels != UNLABELLED
    names = [table.class_names[label] for label in table.labels[known]]
    if len(set(names)) < 2:
        return replace(table, labels=np.full(len(table), UNLABELLED, np.int32), class_names=())
    labels = np.full(len(table), UNLABELLED, np.int32)
    labels[known], class_names = number_labels(names)
    return replace(table, labels=labels, class_names=class_names)
