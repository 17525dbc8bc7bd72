"""k folds that are alike in classes, positive patients and patient sizes; no patient is in two.

Patients with the same set of classes are sorted by their number of images and cut
into blocks of k neighbours. Each fold gets one patient of every block, so patients
of each kind, and sizes of patients, are spread alike by construction. Who of a
block goes where is a linear assignment, solved again and again, block by block,
until class counts and image counts of the folds cannot be brought nearer to equal.
"""

from dataclasses import dataclass

import numpy as np

from efn_compose.data.folding.fold_quality import FoldQuality, measure_folds
from efn_compose.data.table import ImageTable
from efn_compose.errors import ConfigError, DataError, describe_problems, first_of

#: Classes that a message lists.
_LISTED = 10
#: Rounds over all blocks; later ones rarely find anything.
_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class Folds:
    """Which image is in which fold.

    Args:
        fold: (image,) int64, from 0.
        quality: How alike the folds are.
    """

    fold: np.ndarray
    quality: FoldQuality

    def parts(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the image numbers of training and validation if one fold validates."""
        return np.flatnonzero(self.fold != number), np.flatnonzero(self.fold == number)


def make_folds(
    table: ImageTable,
    count: int = 5,
    *,
    seed: int = 0,
    worst_rate: float | None = None,
    worst_size_distance: float | None = None,
) -> Folds:
    """Cut a table into folds, stratified by class, patient and images per patient.

    Args:
        table: The images; without `groups` every image is a patient of its own.
        count: Number of folds, 2 or more.
        seed: Breaks ties; the same seed and table give the same folds.
        worst_rate: Largest accepted coefficient of variation of a class's share over
            the folds; None accepts any.
        worst_size_distance: Largest accepted Kolmogorov distance between the
            images-per-patient distributions of a fold and of the rest; None accepts any.

    Raises:
        DataError: A class has fewer patients than there are folds, or the folds are
            worse than accepted; the message holds the quality table.

    Example:
        >>> from efn_compose.data import load_table
        >>> folds = make_folds(load_table("digits"), 5)
        >>> sorted({len(folds.parts(number)[1]) for number in range(5)})
        [359, 360]
    """
    if count < 2:
        raise ConfigError(f"count must be 2 or more. Received: {count}.")
    table.all_labelled()
    groups = np.arange(len(table)) if table.groups is None else table.groups
    _, patient_of_image = np.unique(groups, return_inverse=True)
    counts = np.zeros((patient_of_image.max(initial=-1) + 1, len(table.class_names)))
    np.add.at(counts, (patient_of_image, table.labels), 1)
    _check(table, counts, count)
    fold_of_patient = _assign(counts, count, np.random.default_rng([seed, 0xF01D]))
    fold = fold_of_patient[patient_of_image]
    quality = measure_folds(table.labels, groups, fold, table.class_names)
    problems = quality.problems(worst_rate, worst_size_distance)
    if problems:
        raise DataError(
            describe_problems(
                f"{table.name}: the best {count} folds found are not good enough.",
                [*problems, *str(quality).splitlines()],
                "Take fewer folds, or accept a worse quality.",
            )
        )
    return Folds(fold, quality)


def _check(table: ImageTable, counts: np.ndarray, count: int) -> None:
    patients = (counts > 0).sum(axis=0)
    unit = "image" if table.groups is None else "patient"
    problems = [
        f"- class {name!r} is in {number} {unit}{'' if number == 1 else 's'}; {count} folds need {count}"
        for name, number in zip(table.class_names, patients, strict=True)
        if number < count
    ]
    problems = first_of(problems, _LISTED)
    if len(table.class_names) < 2:
        problems.append(f"- {len(table.class_names)} class; at least 2 are needed")
    if problems:
        fewest = int(patients.min(initial=count))
        fewer = f", or take at most {fewest} folds" if 2 <= fewest < count else ""
        raise DataError(
            describe_problems(
                f"{table.name}: cannot be cut into {count} folds.",
                problems,
                f"Add images, merge or remove these classes{fewer}.",
            )
        )


def _assign(counts: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each patient, from the patients' class counts (patient, class)."""
    from scipy.optimize import linear_sum_assignment

    sizes = counts.sum(axis=1)
    _, signature = np.unique(counts > 0, axis=0, return_inverse=True)
    signature = signature.reshape(-1)
    # To be made equal: each class's images, all images, patients of each kind, patients.
    kinds = np.eye(signature.max() + 1)[signature]
    measures = np.column_stack([counts, sizes, counts > 0, kinds, np.ones(len(counts))])
    measures = measures / np.maximum(measures.sum(axis=0), 1) * folds
    order = np.lexsort((rng.random(len(counts)), counts.argmax(axis=1), sizes, signature))
    blocks = [
        members[start : start + folds]
        for number in range(signature.max() + 1)
        if len(members := order[signature[order] == number])
        for start in range(0, len(members), folds)
    ]
    blocks.sort(key=lambda block: -measures[block].std(axis=0).sum())
    filled = np.zeros((folds, measures.shape[1]))
    fold = np.full(len(counts), -1)
    for _ in range(_ROUNDS):
        before = fold.copy()
        for block in blocks:
            if fold[block[0]] >= 0:
                np.subtract.at(filled, fold[block], measures[block])
            rows = measures[block]
            # The growth of the squared distance from equal shares; each fold gets one at most.
            growth = ((2 * (filled[None] - filled.mean(0)) + rows[:, None]) * rows[:, None]).sum(2)
            chosen, places = linear_sum_assignment(growth)
            fold[block[chosen]] = places
            np.add.at(filled, fold[block], rows)
        if (fold == before).all():
            break
    return fold
