"""The examples of one training: images, with what is known of them."""

from dataclasses import dataclass

import numpy as np

from efn_compose.errors import DataError, describe_problems


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images and labels of one training.

    Args:
        class_names: One per class.
        train_images: (image, side, side, 3) uint8 RGB; an array, or a memory-mapped one.
        train_labels: (image,) class numbers, or (image, class) float shares that sum to 1.
        validation_images: As above; may be empty.
        validation_labels: (image,) class numbers.

    Raises:
        DataError: Shapes, dtypes or labels do not fit; all problems are listed.
    """

    class_names: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    validation_images: np.ndarray
    validation_labels: np.ndarray

    def __post_init__(self) -> None:
        problems = [] if self.classes >= 2 else [f"- {self.classes} class; 2 or more are needed"]
        for part in ("train", "validation"):
            problems += self._problems(part)
        if not len(self.train_images):
            problems.append("- train: no images")
        sides = {images.shape[1:3] for images in (self.train_images, self.validation_images)}
        if len(self.validation_images) and len(sides) > 1:
            problems.append(f"- training and validation images differ in size: {sorted(sides)}")
        if problems:
            raise DataError(describe_problems("This data cannot be trained on.", problems))

    def _problems(self, part: str) -> list[str]:
        images = getattr(self, f"{part}_images")
        labels = getattr(self, f"{part}_labels")
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
        elif not is_soft and labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
            found.append(f"- {part}: labels outside 0 to {self.classes - 1}")
        return found

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.train_images.shape[1])

    @property
    def targets(self) -> np.ndarray:
        """The training labels as float32 shares (image, class)."""
        if self.train_labels.ndim == 2:
            return np.asarray(self.train_labels, np.float32)
        return np.eye(self.classes, dtype=np.float32)[self.train_labels]
