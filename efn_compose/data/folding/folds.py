"""k folds that are alike in classes, positive patients and patient sizes; no patient is in two.

Patients with the same set of classes are sorted by their number of images and cut
into blocks of k neighbours. Each fold gets one patient of every block, so patients
of each kind, and sizes of patients, are spread alike by construction. Who of a
block goes where is a linear assignment, solved again and again, block by block,
until class counts and image counts of the folds cannot be brought nearer to equal.
Where a fold is left without a rare class, patients who have rare classes change places.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from efn_compose.data.folding.class_counts import ClassCounts
from efn_compose.data.folding.fold_quality import FoldQuality, measure_folds
from efn_compose.data.folding.rare import with_every_class
from efn_compose.data.folding.summation import add_up, additions
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
    counts = ClassCounts.of(patient_of_image, table.labels, len(table.class_names))
    _check(table, counts, count)
    fold_of_patient = _assign(counts, count, np.random.default_rng([seed, 0xF01D]))
    fold_of_patient = with_every_class(counts, fold_of_patient, count)
    fold = fold_of_patient[patient_of_image]
    quality = measure_folds(table.labels, groups, fold, table.class_names)
    problems = quality.problems(worst_rate, worst_size_distance)
    if problems:
        is_whole = all(itertools.chain(*quality.class_images))
        otherwise = (
            "another seed, or accept a worse quality" if is_whole else "or merge rare classes"
        )
        raise DataError(
            describe_problems(
                f"{table.name}: the best {count} folds found are not good enough.",
                [*problems, *str(quality).splitlines()],
                f"Take fewer folds, {otherwise}.",
            )
        )
    return Folds(fold, quality)


def _check(table: ImageTable, counts: ClassCounts, count: int) -> None:
    patients = counts.class_patients
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


def _assign(counts: ClassCounts, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each patient, from the patients' class counts."""
    from scipy.optimize import linear_sum_assignment

    kinds = counts.kinds()
    order = np.lexsort((rng.random(counts.patients), counts.commonest(), counts.sizes, kinds))
    blocks = _blocks(counts, kinds, order, folds)
    # A block's rows of one kind differ little, but to the last bit their spread decides who is first.
    blocks.sort(key=lambda block: -add_up(block.rows.std(axis=0), block.additions))
    filled = np.zeros((folds, _width(counts, kinds)))
    fold = np.full(counts.patients, -1)
    for _ in range(_ROUNDS):
        before = fold.copy()
        for block in blocks:
            members, columns, rows = block.patients, block.columns, block.rows
            if fold[members[0]] >= 0:
                filled[fold[members][:, None], columns] -= rows
            # The growth of the squared distance from equal shares; each fold gets one at most.
            present = filled.take(columns, axis=1)
            excess = (2 * (present - present.mean(0))).T[:, None]
            mass = rows.T[:, :, None]
            growth = add_up((excess + mass) * mass, block.additions)
            chosen, places = linear_sum_assignment(growth)
            fold[members[chosen]] = places
            filled[fold[members][:, None], columns] += rows
        if (fold == before).all():
            break
    return fold


@dataclass(frozen=True, eq=False)
class _Block:
    """Patients of one kind, of whom each fold gets one, and what they add to the folds.

    Args:
        patients: (row,) their numbers.
        columns: Which measures of a fold they add to, ascending.
        rows: (row, column) how much.
        additions: The order in which a sum over all measures is taken.
    """

    patients: np.ndarray
    columns: np.ndarray
    rows: np.ndarray
    additions: list[tuple[int, int]]


def _width(counts: ClassCounts, kinds: np.ndarray) -> int:
    """Return the number of measures that folds are to be equal in."""
    return 2 * counts.classes + 2 + int(kinds.max()) + 1


def _blocks(counts: ClassCounts, kinds: np.ndarray, order: np.ndarray, folds: int) -> list[_Block]:
    """Return the blocks, kind by kind; `order` has the patients of each kind together."""
    starts, classes, sizes = counts.starts, counts.classes, counts.sizes
    width = _width(counts, kinds)
    ends = np.searchsorted(kinds[order], np.arange(kinds.max() + 2))
    of_class = np.maximum(counts.class_sizes, 1)
    with_class = np.maximum(counts.class_patients, 1)
    found = []
    for kind, (begin, end) in enumerate(itertools.pairwise(ends)):
        first = starts[order[begin]]
        labels = counts.label[first : starts[order[begin] + 1]]
        # To be made equal: each class's images, all images, patients with each class, patients of each
        # kind, patients.
        columns = np.concatenate(
            [labels, [classes], classes + 1 + labels, [2 * classes + 1 + kind, width - 1]]
        )
        totals = np.concatenate(
            [of_class[labels], [sizes.sum()], with_class[labels], [end - begin, counts.patients]]
        )
        in_turn = additions(columns.tolist(), width)
        for start in range(begin, end, folds):
            members = order[start : min(start + folds, end)]
            values = np.ones((len(members), len(columns)))
            values[:, : len(labels)] = counts.images[
                starts[members][:, None] + np.arange(len(labels))
            ]
            values[:, len(labels)] = sizes[members]
            found.append(_Block(members, columns, values / totals * folds, in_turn))
    return found
