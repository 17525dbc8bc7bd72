"""The examples of one training: images, with what is known of them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from efn_compose.data.masks.masks import IGNORED
from efn_compose.data.table import UNLABELLED
from efn_compose.errors import DataError, describe_problems
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.one_hot import OneHot

Part = Literal["train", "validation"]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images of one training, and what is known of each: perhaps a label, perhaps a mask.

    Which of these a training needs, its objective says.

    Args:
        class_names: One per class of the labels; none where no image has a label.
        train_images: (image, side, side, 3) uint8 RGB; in memory or in the cache.
        train_labels: (image,) class numbers, `UNLABELLED` (-1) where there is none; or (image,
            class) float shares that sum to 1, or to 0 where there is none.
        validation_images: As above; may be empty.
        validation_labels: (image,) class numbers, or `UNLABELLED`.
        train_masks: (image, side, side) uint8 class of each pixel, `IGNORED` (255) where it is
            not known: everywhere in the mask of an image that has none. None: no image has one.
        validation_masks: As above.
        mask_names: One per class of the pixels.
        train_patients: (image,) patient numbers; None where no patient is known.

    Raises:
        DataError: Shapes, dtypes, labels or masks do not fit; all problems are listed.

    Example:
        >>> images = np.zeros((4, 8, 8, 3), np.uint8)
        >>> TrainingData.of_images(images).train_labels.tolist()
        [-1, -1, -1, -1]
    """

    class_names: tuple[str, ...]
    train_images: PixelArray
    train_labels: np.ndarray
    validation_images: PixelArray
    validation_labels: np.ndarray
    train_masks: np.ndarray | None = None
    validation_masks: np.ndarray | None = None
    mask_names: tuple[str, ...] = ()
    train_patients: np.ndarray | None = None

    def __post_init__(self) -> None:
        problems = [] if self.classes != 1 else ["- 1 class; 2 or more are needed"]
        problems += self._problems("train", self.train_images, self.train_labels)
        problems += self._problems("validation", self.validation_images, self.validation_labels)
        problems += self._mask_problems("train", self.train_images, self.train_masks)
        problems += self._mask_problems("validation", self.validation_images, self.validation_masks)
        patients = self.train_patients
        if patients is not None and patients.shape != (len(self.train_images),):
            problems.append(f"- train: expected one patient per image, received {patients.shape}")
        if not len(self.train_images):
            problems.append("- train: no images")
        sides = {images.shape[1:3] for images in (self.train_images, self.validation_images)}
        if len(self.validation_images) and len(sides) > 1:
            problems.append(f"- training and validation images differ in size: {sorted(sides)}")
        if problems:
            raise DataError(describe_problems("This data cannot be trained on.", problems))

    @classmethod
    def of_images(
        cls, train_images: PixelArray, validation_images: PixelArray | None = None
    ) -> "TrainingData":
        """Return images of which nothing else is known.

        Args:
            train_images: (image, side, side, 3) uint8 RGB.
            validation_images: As above; None for none.
        """
        others = train_images[:0] if validation_images is None else validation_images
        labels = [np.full(len(part), UNLABELLED, np.int32) for part in (train_images, others)]
        return cls((), train_images, labels[0], others, labels[1])

    def _problems(self, part: Part, images: PixelArray, labels: np.ndarray) -> list[str]:
        found = []
        if images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
            found.append(f"- {part}: expected images (image, side, side, 3), not {images.shape}")
        if images.dtype != np.uint8:
            found.append(f"- {part}: expected uint8 pixels, received {images.dtype}")
        if len(images) != len(labels):
            found.append(f"- {part}: {len(images)} images, {len(labels)} labels")
        is_soft = part == "train" and labels.ndim == 2
        if is_soft and labels.shape[1] != self.classes:
            found.append(f"- {part}: {labels.shape[1]} shares per label, {self.classes} classes")
        elif not is_soft and labels.ndim != 1:
            found.append(f"- {part}: expected labels (image,), received {labels.shape}")
        elif not is_soft and not self._are_classes(labels):
            found.append(
                f"- {part}: labels outside 0 to {self.classes - 1} ({UNLABELLED}: no label)"
            )
        return found

    def _are_classes(self, labels: np.ndarray) -> bool:
        if not labels.size:
            return True
        return bool(labels.min() >= UNLABELLED and labels.max() < self.classes)

    def _mask_problems(self, part: Part, images: PixelArray, masks: np.ndarray | None) -> list[str]:
        if masks is None:
            return []
        if masks.dtype != np.uint8 or masks.shape != images.shape[:3]:
            return [
                f"- {part}: expected masks uint8 {images.shape[:3]}, one pixel for each of the "
                f"images', received {masks.dtype} {masks.shape}"
            ]
        classes = len(self.mask_names)
        wrong = masks[(masks >= classes) & (masks != IGNORED)]
        if not wrong.size:
            return []
        return [
            f"- {part}: masks have the value {wrong[0]}, allowed are 0 to {classes - 1}, one per "
            f"name of mask_names, and {IGNORED} for pixels to ignore"
        ]

    @property
    def classes(self) -> int:
        """The number of classes of the labels."""
        return len(self.class_names)

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.train_images.shape[1])

    @property
    def targets(self) -> np.ndarray | OneHot:
        """The training labels as float32 shares (image, class); all 0 where there is no label.

        Of class numbers only the rows that are asked for are made.
        """
        if self.train_labels.ndim == 2:
            return np.asarray(self.train_labels, np.float32)
        return OneHot(self.train_labels, self.classes)

    def unlabelled(self, part: Part) -> int:
        """Return how many images of a part have no label."""
        if part == "validation":
            return int((self.validation_labels == UNLABELLED).sum())
        if self.train_labels.ndim == 1:
            return int((self.train_labels == UNLABELLED).sum())
        return int((np.asarray(self.targets).sum(axis=1) == 0).sum())
