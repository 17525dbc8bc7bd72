"""Check that each image was judged once, by a network that did not see it."""

import numpy as np

from efn_compose.assess.out_of_fold.predictions import Predictions
from efn_compose.errors import DataError, describe_problems

#: How far an image's probabilities may sum from 1: half precision.
_SUM_TOLERANCE = 5e-3
_LISTED = 5


def check_out_of_fold(predictions: Predictions, images: int | None = None) -> None:
    """Raise unless, for each variant and seed, each image is in exactly one validation fold.

    Checked too: no patient in two folds of a training, one label and one patient per image,
    probabilities finite and summing to 1.

    Args:
        predictions: The rows.
        images: Images of the table; every number below it must occur. Default: every
            image that occurs in any training must occur in all.

    Raises:
        DataError: With one line per kind of fault and training.

    Example:
        >>> from efn_compose.data import load_table
        >>> table = load_table("digits")
        >>> half = np.arange(0, 1797, 2)
        >>> rows = Predictions.of_fold(table, half, np.full((899, 10), 0.1), fold=0, seed=1)
        >>> check_out_of_fold(rows)
        >>> check_out_of_fold(rows, images=1797)
        Traceback (most recent call last):
        efn_compose.errors.DataError: These are no out-of-fold predictions.
          - seed 1: 898 images in no validation fold, such as 1, 3, 5, 7, 9
    """
    every = np.arange(images) if images is not None else np.unique(predictions.number)
    problems = _labels_and_patients(predictions)
    sums = predictions.probability.sum(axis=1)
    is_odd = ~np.isfinite(predictions.probability).all(axis=1) | ~(
        np.abs(sums - 1) < _SUM_TOLERANCE
    )
    if is_odd.any():
        problems.append(
            f"- probabilities of {is_odd.sum()} rows are not finite or do not sum to 1, such as "
            f"image {predictions.number[is_odd][0]}"
        )
    folds: dict[str, dict[int, int]] = {}
    for variant, seed in predictions.trainings():
        rows = predictions.of_training(variant, seed)
        where = f"{variant}, seed {seed}" if variant else f"seed {seed}"
        numbers, counts = np.unique(rows.number, return_counts=True)
        problems += _listed(where, numbers[counts > 1], "images in several rows")
        problems += _listed(where, np.setdiff1d(every, numbers), "images in no validation fold")
        problems += _listed(where, np.setdiff1d(numbers, every), "images that the table has not")
        problems += _leaks(where, rows)
        folds.setdefault(variant, {})[seed] = len(np.unique(rows.fold))
    problems += [
        f"- {variant or 'training'}: seeds with different numbers of folds ({counts})"
        for variant, counts in folds.items()
        if len(set(counts.values())) > 1
    ]
    if problems:
        raise DataError(describe_problems("These are no out-of-fold predictions.", problems))


def _labels_and_patients(predictions: Predictions) -> list[str]:
    problems = []
    for name, column in (("label", predictions.label.tolist()), ("patient", predictions.patient)):
        known: dict[int, object] = {}
        numbers = predictions.number.tolist()
        odd = [
            number
            for number, value in zip(numbers, column, strict=True)
            if known.setdefault(number, value) != value
        ]
        problems += _listed("all trainings", np.unique(odd), f"images with more than one {name}")
    return problems


def _leaks(where: str, rows: Predictions) -> list[str]:
    home: dict[str, int] = {}
    leaked = [
        patient
        for patient, fold in zip(rows.patient, rows.fold.tolist(), strict=True)
        if patient and home.setdefault(patient, fold) != fold
    ]
    return _listed(where, list(dict.fromkeys(leaked)), "patients in more than one fold")


def _listed(where: str, found: np.ndarray | list[str], what: str) -> list[str]:
    if not len(found):
        return []
    return [f"- {where}: {len(found)} {what}, such as {', '.join(map(str, found[:_LISTED]))}"]
