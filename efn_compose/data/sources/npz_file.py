"""A NumPy archive with the arrays `images` and `labels`."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.data.sources.words import says_nothing, twin_problem, twins
from efn_compose.data.table import (
    UNLABELLED,
    GreyImages,
    ImageSequence,
    ImageTable,
    number_labels,
)
from efn_compose.errors import DataError, RunError, describe_problems, first_of
from efn_compose.store.arrays import array_names, read_arrays

#: Names that a message lists.
_LISTED = 10


def load_npz(path: str | os.PathLike[str], *, needs_labels: bool = True) -> ImageTable:
    """Return the images and labels of a `.npz` file.

    Args:
        path: File with `images`, uint8 (image, height, width, channel) with 1 or 3 channels
            or (image, height, width), and `labels`, (image,) integers or strings; optionally
            `groups`, (image,) patient ids, `class_names`, the classes in their order, and
            `masks`, uint8 (image, height, width) class of each pixel, 255 where not known.
        needs_labels: Whether `labels` must be there.

    Raises:
        DataError: No such file, damaged, pickled objects inside, or arrays that do not fit;
            all problems are listed.

    Example:
        >>> np.savez("scans.npz", images=images, labels=labels)  # doctest: +SKIP
        >>> load_npz("scans.npz").class_names  # doctest: +SKIP
        ('benign', 'malignant')
    """
    arrays, problems = _read(Path(path))
    problems += [
        f"- no array {name!r} in the file (it has {_listed(array_names(path)) or 'none'})"
        for name in (("images", "labels") if needs_labels else ("images",))
        if name not in arrays and not any(f"{name!r}" in problem for problem in problems)
    ]
    if not problems:
        problems = _check(arrays)
    if problems:
        raise DataError(
            describe_problems(
                f"{path}: not a data set.",
                problems,
                "Write it as np.savez(FILE, images=uint8 (image, height, width, 3), labels=(image,)).",
            )
        )
    labels, class_names = _labels(arrays, needs_labels)
    groups, group_names = None, None
    if "groups" in arrays:
        groups, group_names = _groups(
            os.fspath(path), [str(group) for group in arrays["groups"].tolist()]
        )
    return ImageTable(
        images=_as_rgb(arrays["images"]),
        labels=labels,
        class_names=class_names,
        name=f"npz:{path}",
        groups=groups,
        group_names=group_names,
        masks=arrays.get("masks"),
    )


def _groups(path: str, patients: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    unknown = sum(says_nothing(patient, "patient") for patient in patients)
    if unknown:
        raise DataError(
            f"{path}: {unknown} groups say nothing ('', nan, NA). Give each image its patient."
        )
    if pairs := twins(patients):
        raise DataError(f"{path}: {twin_problem('patient', *pairs[0])}.")
    return number_labels(patients)


def _listed(names: list[str]) -> str:
    return ", ".join(first_of(names, _LISTED))


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file (seen from {Path.cwd()}).")
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise DataError(
                f"{path}: not a readable .npz file (one array, not an archive of named arrays)."
            )
    arrays: dict[str, np.ndarray] = {}
    problems = []
    for name in ("images", "labels", "groups", "class_names", "masks"):
        try:
            arrays |= read_arrays(path, [name])
        except RunError as error:
            problem = str(error).removeprefix(f"{path}: ")
            if not problem.startswith(f"{name!r}"):
                raise DataError(str(error)) from None
            problems.append(f"- {problem}")
    return arrays, problems


def _check(arrays: dict[str, np.ndarray]) -> list[str]:
    images, labels = arrays["images"], arrays.get("labels")
    problems = []
    is_grey = images.ndim == 3
    if not is_grey and (images.ndim != 4 or images.shape[-1] not in (1, 3)):
        problems.append(
            "- 'images': expected (image, height, width, channel) with 1 or 3 channels, "
            f"received {images.shape}"
        )
    if images.dtype != np.uint8:
        problems.append(
            f"- 'images': expected uint8 with values 0-255, received {images.dtype}"
            f"{_value_range(images)}"
        )
    if 0 in images.shape:
        problems.append(f"- 'images': empty, shape {images.shape}")
    if labels is not None and labels.dtype.kind not in "iuUb":
        problems.append(f"- 'labels': expected integers or strings, received {labels.dtype}")
    for name in ("labels", "groups"):
        if name in arrays and arrays[name].shape != images.shape[:1]:
            problems.append(
                f"- {name!r}: expected shape {images.shape[:1]}, one per image, "
                f"received {arrays[name].shape}"
            )
    masks = arrays.get("masks")
    if masks is not None and (masks.dtype != np.uint8 or masks.shape != images.shape[:3]):
        problems.append(
            f"- 'masks': expected uint8 {images.shape[:3]}, one pixel for each of the images', "
            f"received {masks.dtype} {masks.shape}"
        )
    return problems + _name_problems(labels, arrays.get("class_names"))


def _name_problems(labels: np.ndarray | None, names: np.ndarray | None) -> list[str]:
    """Return what is wrong with labels as names of classes."""
    problems: list[str] = []
    if labels is not None and labels.dtype.kind == "U" and (labels == "").any():
        problems.append(f"- 'labels': {int((labels == '').sum())} are empty; each image needs one")
    if names is None or labels is None or not labels.size:
        return problems
    words = [str(name) for name in names.ravel()]
    twice = sorted(word for word, count in Counter(words).items() if count > 1)
    if twice:
        problems.append(f"- 'class_names': {_listed(twice)} more than once")
    if labels.dtype.kind == "U":
        unknown = sorted(set(labels.tolist()) - set(words))
        if unknown:
            problems.append(f"- 'class_names': no {_listed(unknown)}, which labels say")
        return problems
    if labels.dtype.kind not in "iub":
        return problems
    if names.ndim != 1 or labels.min() < 0 or labels.max() >= len(names):
        problems.append(
            f"- 'class_names': {names.shape} names for labels "
            f"{labels.min()} to {labels.max()}; expected one per label from 0"
        )
    return problems


def _value_range(images: np.ndarray) -> str:
    if images.dtype.kind not in "iuf" or not images.size:
        return ""
    return f" with values {images.min():g} to {images.max():g}"


def _labels(arrays: dict[str, Any], needs_labels: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    if "labels" in arrays and not needs_labels and arrays["labels"].dtype.kind == "i":
        is_known = arrays["labels"] != UNLABELLED
        if not is_known.all():
            labels = np.full(len(is_known), UNLABELLED, np.int32)
            known = {**arrays, "labels": arrays["labels"][is_known]}
            labels[is_known], names = _labels(known, needs_labels)
            return labels, names
    if "labels" not in arrays:
        return np.full(len(arrays["images"]), UNLABELLED, np.int32), ()
    labels = arrays["labels"]
    if "class_names" in arrays:
        names = tuple(str(name) for name in arrays["class_names"].ravel())
        if labels.dtype.kind != "U":
            return labels.astype(np.int32), names
        number = {name: place for place, name in enumerate(names)}
        return np.array([number[label] for label in labels.tolist()], np.int32), names
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    return number_labels([str(label) for label in labels.tolist()])


def _as_rgb(images: np.ndarray) -> ImageSequence:
    if images.ndim == 3:
        return GreyImages(images)
    return GreyImages(images[..., 0]) if images.shape[-1] == 1 else images
