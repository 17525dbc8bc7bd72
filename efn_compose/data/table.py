"""A table of images with what is known of each, not yet resized or split."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from efn_compose.data.identity import identities, samples
from efn_compose.errors import DataError, describe_problems

#: Label of an image that has none.
UNLABELLED = -1


class ImageSequence(Protocol):
    """Images by number; an array (image, height, width, 3) is one, a list of files another."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int, /) -> np.ndarray:
        """Return one image, (height, width, 3) uint8; `ImageError` if it cannot be decoded."""
        ...


def shape_of(images: ImageSequence, number: int) -> tuple[int, int]:
    """Return height and width of an image in its source: of a file from its header, else from its pixels.

    Raises:
        ImageError: It cannot be decoded.

    Example:
        >>> shape_of(GreyImages(np.zeros((1, 4, 6), np.uint8)), 0)
        (4, 6)
    """
    own, source_of = (getattr(images, name, None) for name in ("shape_of", "source_of"))
    if own is not None:
        return own(number)
    if source_of is not None:
        return shape_of(*source_of(number))
    height, width = images[number].shape[:2]
    return height, width


class GreyImages:
    """Grey images as a sequence of RGB ones; threefold memory only for the one asked for."""

    def __init__(self, grey: np.ndarray) -> None:
        self.grey = grey

    def __len__(self) -> int:
        return len(self.grey)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return np.repeat(self.grey[index][..., None], 3, axis=-1)


class ChosenImages:
    """Some images of a sequence, under new numbers."""

    def __init__(self, images: ImageSequence, numbers: np.ndarray) -> None:
        self.images, self.numbers = images, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.images[int(self.numbers[index])]

    def source_of(self, index: int) -> tuple[ImageSequence, int]:
        """Return where an image is about to be decoded from, and its number there."""
        return self.images, int(self.numbers[index])

    def name_of(self, index: int) -> str:
        """Return the image's name, or its number, in the sequence it was chosen from."""
        number = int(self.numbers[index])
        name_of = getattr(self.images, "name_of", str)
        return name_of(number)

    def identities(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Yield what each image is known by; see `efn_compose.data.identity`."""
        yield from identities(self.images, self.numbers[numbers])

    def samples(self, numbers: np.ndarray) -> Iterable[bytes]:
        """Return some bytes of each image; see `efn_compose.data.identity`."""
        return samples(self.images, self.numbers[numbers])


class ImageError(DataError):
    """One image cannot be decoded; the message names the file and the reason."""


@dataclass(frozen=True)
class ImageTable:
    """Images in the source's own order and sizes, with their labels, patients and masks where known.

    Args:
        images: RGB uint8 images by number, decoded when asked for.
        labels: (image,) int32, class numbers from 0, `UNLABELLED` (-1) where there is none.
        class_names: One per class number.
        name: The source in short, for tables and messages.
        groups: (image,) int32 patient numbers, or None. Images of one patient stay together.
        group_names: The source's own name of each patient number, where it has any.
        notes: Sentences about what the source holds beside these images, for people.
        masks: Masks (height, width) uint8 by number, of the images' own sizes, or None.

    Raises:
        DataError: Lengths differ, or a label or patient has no name.
    """

    images: ImageSequence
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str
    groups: np.ndarray | None = None
    group_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    masks: ImageSequence | None = None

    def __post_init__(self) -> None:
        count = len(self.images)
        problems = []
        if self.labels.shape != (count,):
            problems.append(f"labels: expected shape ({count},), received {self.labels.shape}")
        if self.groups is not None and self.groups.shape != (count,):
            problems.append(f"groups: expected shape ({count},), received {self.groups.shape}")
        highest = len(self.class_names) - 1
        if self.labels.size and not UNLABELLED <= self.labels.min() <= self.labels.max() <= highest:
            problems.append(
                f"labels: expected 0 to {highest}, or {UNLABELLED} for none, "
                f"received {self.labels.min()} to {self.labels.max()}"
            )
        if self.masks is not None and len(self.masks) != count:
            problems.append(f"masks: expected {count}, one per image, received {len(self.masks)}")
        named = len(self.group_names) if self.group_names is not None else None
        if named is not None and (
            self.groups is None or (self.groups.size and self.groups.max() >= named)
        ):
            problems.append(f"group_names: {named} names do not cover the groups")
        if problems:
            raise DataError(describe_problems(f"{self.name}: not a table of images.", problems))

    def __len__(self) -> int:
        return len(self.images)

    def chosen(self, numbers: np.ndarray) -> "ImageTable":
        """Return the table of some images, numbered anew in the order given."""
        return replace(
            self,
            images=ChosenImages(self.images, numbers),
            labels=self.labels[numbers],
            groups=None if self.groups is None else self.groups[numbers],
            masks=None if self.masks is None else ChosenImages(self.masks, numbers),
        )

    def all_labelled(self) -> "ImageTable":
        """Return the table, for what needs a label of every image.

        Raises:
            DataError: Some images have none.
        """
        without = np.flatnonzero(self.labels == UNLABELLED)
        if len(without):
            raise DataError(
                f"{self.name}: {len(without)} of {len(self)} images have no label, the first is "
                f"{self.image_name(int(without[0]))}. Here every image needs one."
            )
        return self

    def image_name(self, number: int) -> str:
        """Return the file of an image, or its number in the source where it has no file."""
        name_of = getattr(self.images, "name_of", None)
        return printable(str(number) if name_of is None else name_of(number))

    def group_name(self, number: int) -> str | None:
        """Return the patient of an image as the source names it, None without patients."""
        if self.groups is None:
            return None
        group = int(self.groups[number])
        return str(group) if self.group_names is None else self.group_names[group]


def alike_note(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence about classes whose names differ in letter case or spaces only.

    Example:
        >>> alike_note(["cat", "Cat", "dog"])
        ("'cat' and 'Cat' are two classes, although they differ in letter case or spaces only.",)
    """
    first: dict[str, str] = {}
    pairs = []
    for name in class_names:
        known = first.setdefault("".join(name.lower().split()), name)
        pairs += [f"{known!r} and {name!r}"] if known != name else []
    if not pairs:
        return ()
    named = ", ".join(pairs[:3]) + (f" and {len(pairs) - 3} more pairs" if len(pairs) > 3 else "")
    are = "are two classes" if len(pairs) == 1 else "are two classes each"
    return (f"{named} {are}, although they differ in letter case or spaces only.",)


def printable(name: object) -> str:
    """Return a file's name as UTF-8 can hold it; bytes that are none become escapes.

    Example:
        >>> printable("caf\\udce9.png")
        'caf\\\\xe9.png'
    """
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def number_column(values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return what `number_labels` does for a column of integers or words, without a string per row.

    Example:
        >>> number_column(np.array([10, 9, 10]))
        (array([1, 0, 1], dtype=int32), ('9', '10'))
    """
    distinct, place = np.unique(values, return_inverse=True)
    number, names = number_labels([str(value) for value in distinct.tolist()])
    return number[place].astype(np.int32), names


_NUMBER = re.compile(r"-?\d+(\.\d*)?")


def number_labels(values: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return class numbers, (image,) int32, and sorted class names.

    Names that are all numbers are sorted as numbers.

    Example:
        >>> number_labels(["10", "9", "10"])
        (array([1, 0, 1], dtype=int32), ('9', '10'))
        >>> number_labels(["10.0", "9.0"])[1]
        ('9.0', '10.0')
    """
    distinct = set(values)
    if all(_NUMBER.fullmatch(value) for value in distinct):
        names = sorted(distinct, key=lambda value: (float(value), value))
    else:
        names = sorted(distinct)
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[value] for value in values], np.int32), tuple(names)
