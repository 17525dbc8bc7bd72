"""Folds on synthetic dermoscopy-like tables: ours beside scikit-learn's splitters.

Purpose: 30,000 images, 2,000 patients, 1.8 % positive, 5 folds, 5 tables. No patient in two
         folds; how alike are the folds in the share of positives, the number of positive
         patients, and the images per patient, all three at once?
Command: python experiments/folds.py
Time:    about two minutes on one core.
Result:  experiments/results/folds.md
"""

import time
from collections.abc import Callable

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from efn_compose.data.folding.fold_quality import measure_folds
from efn_compose.data.folding.folds import make_folds
from efn_compose.data.table import ImageTable

FOLDS, TABLES, IMAGES, PATIENTS, POSITIVE = 5, 5, 30_000, 2_000, 0.018


def isic_like(seed: int) -> ImageTable:
    """Return sizes of patients log-normal, positives clustered in few patients."""
    rng = np.random.default_rng(seed)
    weights = rng.lognormal(0, 0.9, PATIENTS)
    groups = np.sort(rng.choice(PATIENTS, IMAGES, p=weights / weights.sum())).astype(np.int32)
    risk = rng.gamma(0.3, 1.0, PATIENTS)[groups]
    labels = np.zeros(IMAGES, np.int32)
    labels[rng.choice(IMAGES, round(POSITIVE * IMAGES), replace=False, p=risk / risk.sum())] = 1
    pixels = np.broadcast_to(np.zeros((1, 1, 1, 3), np.uint8), (IMAGES, 1, 1, 3))
    return ImageTable(pixels, labels, ("benign", "malignant"), "isic-like", groups)


def strata(table: ImageTable) -> tuple[np.ndarray, np.ndarray]:
    """Return, per image, the size bin of its patient and whether that has a positive."""
    sizes = np.bincount(table.groups)
    bins = np.searchsorted(np.quantile(sizes, [0.2, 0.4, 0.6, 0.8]), sizes)
    has_positive = np.bincount(table.groups, table.labels) > 0
    return bins[table.groups], has_positive[table.groups]


def over_patients(table: ImageTable, seed: int) -> np.ndarray:
    patients, first = np.unique(table.groups, return_index=True)
    bins, has_positive = strata(table)
    kinds = bins[first] * 2 + has_positive[first]
    fold = np.empty(PATIENTS, int)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (_, validation) in enumerate(splitter.split(patients, kinds)):
        fold[patients[validation]] = number
    return fold[table.groups]


def by_splitter(splitter: Callable, classes: Callable) -> Callable[[ImageTable, int], np.ndarray]:
    def cut(table: ImageTable, seed: int) -> np.ndarray:
        fold = np.empty(IMAGES, int)
        parts = splitter(seed).split(np.zeros(IMAGES), classes(table), table.groups)
        for number, (_, validation) in enumerate(parts):
            fold[validation] = number
        return fold

    return cut


def all_strata(table: ImageTable) -> np.ndarray:
    bins, has_positive = strata(table)
    return (bins * 2 + has_positive) * 2 + table.labels


METHODS = {
    "GroupKFold(shuffle)": by_splitter(
        lambda seed: GroupKFold(FOLDS, shuffle=True, random_state=seed), lambda table: table.labels
    ),
    "StratifiedKFold over patients (size bin × positive)": over_patients,
    "StratifiedGroupKFold(class)": by_splitter(
        lambda seed: StratifiedGroupKFold(FOLDS), lambda table: table.labels
    ),
    "StratifiedGroupKFold(class × size bin × patient positive)": by_splitter(
        lambda seed: StratifiedGroupKFold(FOLDS), all_strata
    ),
    "`efn_compose.data.folding.folds.make_folds`": lambda table, seed: (
        make_folds(table, FOLDS, seed=seed).fold
    ),
}


def main() -> None:
    print("| method | positive rate | positive patients | sizes (KS) | images | leaks | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, cut in METHODS.items():
        rows = []
        for seed in range(TABLES):
            table = isic_like(seed)
            start = time.perf_counter()
            fold = cut(table, seed)
            seconds = time.perf_counter() - start
            found = measure_folds(table.labels, table.groups, fold, table.class_names)
            rows.append(
                (
                    found.rate_variation[1],
                    found.patient_variation[1],
                    found.size_distance,
                    found.image_variation,
                    found.leaked,
                    seconds,
                )
            )
        mean = np.mean(rows, axis=0)
        shown = " | ".join(f"{value:.4f}" for value in mean[:4])
        print(f"| {name} | {shown} | {mean[4]:.0f} | {mean[5]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
