"""How alike folds are. Unequal folds make a validation lie in three ways; each is measured."""

from dataclasses import dataclass

import numpy as np

#: Of more classes only the rarest and the most frequent one are shown.
_LISTED_CLASSES = 12


@dataclass(frozen=True)
class FoldQuality:
    """The quality table of a set of folds. Lower is better everywhere.

    Args:
        class_names: One per class.
        images: Images per fold.
        patients: Patients per fold.
        class_images: (fold, class) images.
        class_patients: (fold, class) patients that have the class.
        rate_variation: Per class, the coefficient of variation of its share of the images.
        patient_variation: Per class, the coefficient of variation of its number of patients.
        image_variation: The coefficient of variation of the number of images.
        size_distance: Largest Kolmogorov distance between the images-per-patient
            distribution of a fold and that of all other patients.
        leaked: Patients in more than one fold.
    """

    class_names: tuple[str, ...]
    images: tuple[int, ...]
    patients: tuple[int, ...]
    class_images: tuple[tuple[int, ...], ...]
    class_patients: tuple[tuple[int, ...], ...]
    rate_variation: tuple[float, ...]
    patient_variation: tuple[float, ...]
    image_variation: float
    size_distance: float
    leaked: int

    def problems(
        self, worst_rate: float | None = None, worst_size_distance: float | None = None
    ) -> list[str]:
        """Return one line per leak, missing class and limit that is exceeded."""
        found = [f"- {self.leaked} patients are in more than one fold"] if self.leaked else []
        for number, row in enumerate(self.class_images):
            missing = [name for name, n in zip(self.class_names, row, strict=True) if not n]
            found += [f"- fold {number} has no image of {', '.join(missing)}"] if missing else []
        rate = max(self.rate_variation)
        if worst_rate is not None and rate > worst_rate:
            found.append(f"- a class's share varies by {rate:.4f} over folds, over {worst_rate:g}")
        if worst_size_distance is not None and self.size_distance > worst_size_distance:
            found.append(
                f"- images per patient differ by {self.size_distance:.4f} (Kolmogorov), over "
                f"{worst_size_distance:g}"
            )
        return found

    def __str__(self) -> str:
        """Return the table as lines for people; patients where one has several images."""
        has_patients = sum(self.patients) < sum(self.images)
        head = "fold  images  patients  " if has_patients else "fold  images  "
        lines = [f"{head}share of images by class{' / patients that have it' * has_patients}"]
        for number, images in enumerate(self.images):
            shares = self._shares(number, has_patients)
            if len(shares) > _LISTED_CLASSES:
                order = np.argsort(self.class_images[number], kind="stable")
                ends = f"{shares[order[0]]}  to  {shares[order[-1]]}"
                shares = [f"{len(shares)} classes:", ends]
            counts = f"{images:>6}  {self.patients[number]:>8}" if has_patients else f"{images:>6}"
            lines.append(f"{number:>4}  {counts}  {'  '.join(shares)}")
        said = [f"class share {max(self.rate_variation):.4f}"]
        if has_patients:
            said.append(f"patients with a class {max(self.patient_variation):.4f}")
        said.append(f"images {self.image_variation:.4f}")
        lines.append(f"variation over folds: {', '.join(said)}")
        if has_patients:
            lines[-1] += f"; images per patient, Kolmogorov distance {self.size_distance:.4f}"
        return "\n".join(lines)

    def _shares(self, number: int, has_patients: bool) -> list[str]:
        images = max(self.images[number], 1)
        shares = [
            f"{name} {n / images:.2%}"
            for name, n in zip(self.class_names, self.class_images[number], strict=True)
        ]
        if not has_patients:
            return shares
        patients = self.class_patients[number]
        return [f"{share} / {p}" for share, p in zip(shares, patients, strict=True)]


def measure_folds(
    labels: np.ndarray, groups: np.ndarray, fold: np.ndarray, class_names: tuple[str, ...]
) -> FoldQuality:
    """Measure how alike folds of any origin are.

    Args:
        labels: (image,) class numbers.
        groups: (image,) patient numbers.
        fold: (image,) fold numbers from 0.
        class_names: One per class.

    Example:
        >>> ones = np.ones(4, int)
        >>> quality = measure_folds(np.array([0, 1, 0, 1]), np.arange(4), np.array([0, 0, 1, 1]),
        ...                         ("a", "b"))
        >>> quality.rate_variation, quality.leaked
        ((0.0, 0.0), 0)
    """
    numbers, classes = range(int(fold.max()) + 1), len(class_names)
    patients, patient_of_image, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    homes = {int(number): np.unique(groups[fold == number]) for number in numbers}
    # One pass over the images, however many classes there are.
    is_counted = (fold >= 0) & (labels >= 0)
    cell = fold[is_counted].astype(np.int64) * classes + labels[is_counted]
    class_images = count_cells(cell, len(numbers), classes)
    with_patient = np.unique(cell * len(patients) + patient_of_image[is_counted])
    class_patients = count_cells(with_patient // len(patients), len(numbers), classes)
    images = class_images.sum(axis=1)
    distances = [
        kolmogorov_distance(sizes[np.isin(patients, homes[f])], sizes[~np.isin(patients, homes[f])])
        for f in numbers
    ]
    return FoldQuality(
        class_names=class_names,
        images=tuple(images.tolist()),
        patients=tuple(len(homes[f]) for f in numbers),
        class_images=tuple(map(tuple, class_images.tolist())),
        class_patients=tuple(map(tuple, class_patients.tolist())),
        rate_variation=_variation(class_images / np.maximum(images, 1)[:, None]),
        patient_variation=_variation(class_patients),
        image_variation=_variation(images[:, None])[0],
        size_distance=max(distances),
        leaked=sum(len(home) for home in homes.values()) - len(patients),
    )


def kolmogorov_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two samples' distribution functions, 0 to 1.

    Example:
        >>> kolmogorov_distance(np.array([1, 2]), np.array([2, 3]))
        0.5
    """
    if not len(one) or not len(other):
        return 1.0
    values = np.union1d(one, other)
    shares = [np.searchsorted(np.sort(x), values, side="right") / len(x) for x in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def count_cells(cells: np.ndarray, folds: int, classes: int) -> np.ndarray:
    """Return how often each cell occurs, (fold, class).

    Args:
        cells: Numbers of cells, fold · classes + class.
        folds: Number of folds.
        classes: Number of classes.

    Example:
        >>> count_cells(np.array([0, 3, 3]), 2, 2).tolist()
        [[1, 0], [0, 2]]
    """
    return np.bincount(cells, minlength=folds * classes).reshape(folds, classes)


def _variation(values: np.ndarray) -> tuple[float, ...]:
    """Return the standard deviation over folds in units of the mean, per column."""
    mean = values.mean(axis=0)
    return tuple((values.std(axis=0) / np.where(mean == 0, 1, mean)).tolist())
