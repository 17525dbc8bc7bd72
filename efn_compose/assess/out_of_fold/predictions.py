"""One row per image and training that did not see it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from efn_compose.data.table import ImageTable
from efn_compose.errors import DataError, describe_problems


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions on validation images.

    Args:
        class_names: One per class.
        number: (row,) int64, the image's number in its table.
        image: (row,) its file, or its number.
        patient: (row,) its patient's name, empty where there are no patients.
        label: (row,) int64 class numbers.
        fold: (row,) int64, the fold that the image validates.
        seed: (row,) int64 of the training.
        variant: (row,) the network.
        probability: (row, class) float32.

    Raises:
        DataError: Lengths differ, or a label is outside the classes.
    """

    class_names: tuple[str, ...]
    number: np.ndarray
    image: tuple[str, ...]
    patient: tuple[str, ...]
    label: np.ndarray
    fold: np.ndarray
    seed: np.ndarray
    variant: tuple[str, ...]
    probability: np.ndarray

    def __post_init__(self) -> None:
        rows, classes = len(self.number), len(self.class_names)
        problems = [
            f"- {name}: {len(getattr(self, name))} rows, expected {rows}"
            for name in ("image", "patient", "label", "fold", "seed", "variant")
            if len(getattr(self, name)) != rows
        ]
        if self.probability.shape != (rows, classes):
            problems.append(
                f"- probability: expected shape ({rows}, {classes}), "
                f"received {self.probability.shape}"
            )
        if len(self.label) and (self.label.min() < 0 or self.label.max() >= classes):
            problems.append(
                f"- label: expected 0 to {classes - 1}, "
                f"received {self.label.min()} to {self.label.max()}"
            )
        if problems:
            raise DataError(describe_problems("Not a table of predictions.", problems))

    def __len__(self) -> int:
        return len(self.number)

    @classmethod
    def of_fold(
        cls,
        table: ImageTable,
        numbers: np.ndarray,
        probability: np.ndarray,
        *,
        fold: int,
        seed: int,
        variant: str = "",
    ) -> "Predictions":
        """Return the rows of one training.

        Args:
            table: All images.
            numbers: (image,) the validation images, in the order of the predictions.
            probability: (image, class).
            fold: The fold that was left out.
            seed: Of the training.
            variant: The network.
        """
        numbers = np.asarray(numbers, np.int64)
        rows = len(numbers)
        return cls(
            class_names=tuple(table.class_names),
            number=numbers,
            image=tuple(table.image_name(int(number)) for number in numbers),
            patient=tuple(table.group_name(int(number)) or "" for number in numbers),
            label=table.labels[numbers].astype(np.int64),
            fold=np.full(rows, fold, np.int64),
            seed=np.full(rows, seed, np.int64),
            variant=(variant,) * rows,
            probability=np.asarray(probability, np.float32),
        )

    def rows(self, chosen: np.ndarray) -> "Predictions":
        """Return some rows, by bool mask or by number."""
        places = np.arange(len(self))[chosen]
        taken: dict[str, Any] = {
            field.name: _take(getattr(self, field.name), places)
            for field in fields(self)
            if field.name != "class_names"
        }
        return Predictions(class_names=self.class_names, **taken)

    def trainings(self) -> list[tuple[str, int]]:
        """Return the distinct (variant, seed), in order of appearance."""
        return list(dict.fromkeys(zip(self.variant, self.seed.tolist(), strict=True)))

    def of_training(self, variant: str, seed: int) -> "Predictions":
        """Return the rows of one variant and seed, over all its folds."""
        same = np.array([name == variant for name in self.variant], bool)
        return self.rows(same & (self.seed == seed))


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Return the rows of several tables, one after another.

    Raises:
        DataError: No tables, or their classes differ.
    """
    names = dict.fromkeys(part.class_names for part in parts)
    if len(names) != 1:
        raise DataError(
            f"predictions of one set of classes can be joined. Received: {list(names)}."
        )
    joined: dict[str, Any] = {
        field.name: _concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Predictions)
        if field.name != "class_names"
    }
    return Predictions(class_names=next(iter(names)), **joined)


def _take(column: np.ndarray | tuple[str, ...], places: np.ndarray) -> np.ndarray | tuple[str, ...]:
    if isinstance(column, tuple):
        return tuple(column[place] for place in places)
    return column[places]


def _concatenate(columns: list[np.ndarray] | list[tuple[str, ...]]) -> np.ndarray | tuple[str, ...]:
    if isinstance(columns[0], tuple):
        return tuple(item for column in columns for item in column)
    return np.concatenate(columns)
