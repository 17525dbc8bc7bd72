"""Probes for columns whose out-of-fold predictions have seen what they should not.

Nobody knows the labels of test images. But a column that saw its out-of-fold rows in training is surer of
them than of test rows, and it knows their labels better than its agreement with the other columns on test
rows explains. What happens to all columns alike, such as another camera, is no leak of one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.assess.evaluation.ranking import area
from efn_compose.assess.prediction_store.blocks import FLOOR

#: Robust standard deviations above the other columns that make a suspect: chance alone seldom brings
#: one of 40 clean columns there.
_SUSPECT = 5.5
#: Fewest columns whose spread is known from themselves.
_FEW = 8
#: Area from which on out-of-fold and test rows are too easily told apart.
TOLD_APART = 0.6
_PARTS, _RIDGE = 5, 1.0


@dataclass(frozen=True)
class Suspect:
    """A column that looks as if it had leaked.

    Args:
        column: Its number.
        reason: In words.
        deviations: How far it is from the other columns, in robust standard deviations.
    """

    column: int
    reason: str
    deviations: float


def suspect_columns(out_of_fold: np.ndarray, labels: np.ndarray, test: np.ndarray) -> list[Suspect]:
    """Return the columns whose out-of-fold rows differ from test rows as no other column's do.

    Args:
        out_of_fold: (model, row, class) probabilities.
        labels: (row,) class numbers.
        test: (model, test row, class) probabilities, each by one network as out of fold; the mean of
            several would be less sure of itself.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> def stated(logits):
        ...     return 1 / (1 + np.exp(-np.stack([-logits, logits], axis=-1)))
        >>> truth = rng.choice([-1, 1], 2000)
        >>> logits = truth + rng.normal(size=(12, 2000))
        >>> logits[3, :1000] += 3 * truth[:1000]
        >>> ours, theirs = stated(logits[:, :1000]), stated(logits[:, 1000:])
        >>> [suspect.column for suspect in suspect_columns(ours, truth[:1000] > 0, theirs)]
        [3]
    """
    ours, theirs = _logits(out_of_fold), _logits(test)
    knows, agrees = _knowledge(ours, np.asarray(labels, np.int64)), _agreement(theirs)
    few = len(ours) < _FEW
    noise = 1 / np.sqrt(ours.shape[1]) + 1 / np.sqrt(theirs.shape[1]) if few else 1e-9
    found: dict[int, Suspect] = {}
    for words, gaps in (
        ("is surer of its out-of-fold rows than of test rows", _sureness(ours) - _sureness(theirs)),
        (
            "knows the labels of its out-of-fold rows better than its agreement with the other columns "
            "on test rows explains",
            knows - agrees * _slope(agrees, knows),
        ),
    ):
        centred = gaps - np.median(gaps)
        scale = max(1.4826 * float(np.median(np.abs(centred))), noise)
        for number in np.flatnonzero(centred > _SUSPECT * scale):
            far = float(centred[number] / scale)
            if number not in found or found[int(number)].deviations < far:
                found[int(number)] = Suspect(int(number), words, far)
    return [found[number] for number in sorted(found)]


def told_apart(out_of_fold: np.ndarray, test: np.ndarray, seed: int = 0) -> float | None:
    """Return how well out-of-fold rows are told from test rows: an area, 0.5 where they cannot be.

    A ridge classifier on the columns' logits and their squares, cross-validated in five parts; None
    where there are fewer rows of either kind than parts.

    Args:
        out_of_fold: (model, row, class) probabilities.
        test: (model, test row, class) probabilities, each by one network.
        seed: Cuts the parts.
    """
    ours, theirs = _logits(out_of_fold), _logits(test)
    if min(ours.shape[1], theirs.shape[1]) < _PARTS:
        return None
    values = np.concatenate([_wide(ours), _wide(theirs)])
    is_test = np.arange(len(values)) >= ours.shape[1]
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)
    part = _parts(is_test, seed)
    found = np.zeros(len(values))
    for number in range(_PARTS):
        inside = part != number
        known, wanted = values[inside], np.where(is_test[inside], 1.0, -1.0)
        # Both kinds weigh alike, whatever their numbers.
        weight = np.where(
            is_test[inside], 1 / is_test[inside].mean(), 1 / (~is_test[inside]).mean()
        )
        gram = (known * weight[:, None]).T @ known / len(known)
        gram += _RIDGE / np.sqrt(len(known)) * np.eye(gram.shape[0])
        slope = np.linalg.solve(gram, (known * (weight * wanted)[:, None]).mean(axis=0))
        found[part == number] = values[part == number] @ slope
    # Each part has a fit of its own; areas are taken within parts.
    areas = [area(is_test[part == n], found[part == n]) for n in range(_PARTS)]
    return float(np.mean(areas))


def _parts(is_test: np.ndarray, seed: int) -> np.ndarray:
    """Return (row,) the part of each row; every part has rows of both kinds."""
    rng = np.random.default_rng([seed, 12])
    part = rng.permutation(len(is_test)) % _PARTS
    if all(0 < is_test[part == number].mean() < 1 for number in range(_PARTS)):
        return part
    # Of few test rows, chance leaves some parts without: each kind is dealt out for itself.
    for kind in (False, True):
        rows = np.flatnonzero(is_test == kind)
        part[rows] = rng.permutation(len(rows)) % _PARTS
    return part


def describe_suspects(suspects: Sequence[Suspect], names: Sequence[str]) -> list[str]:
    """Return suspects as sentences with their columns' names."""
    return [
        f"{names[suspect.column]} {suspect.reason} ({suspect.deviations:.1f} deviations from the "
        "other columns)."
        for suspect in suspects
    ]


def _logits(probability: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(probability.astype(np.float64), FLOOR))
    return logs - logs.mean(axis=-1, keepdims=True)


def _sureness(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of each column's standard deviation over rows, (model,)."""
    return np.log(np.sqrt((logits - logits.mean(axis=1, keepdims=True)).var(axis=(1, 2))) + 1e-12)


def _knowledge(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return Fisher's z of each column's mean correlation with the labels, (model,)."""
    truth = np.eye(logits.shape[2])[labels]
    return _correlation(logits, truth[None])


def _agreement(logits: np.ndarray) -> np.ndarray:
    """Return Fisher's z of each column's mean correlation with the median of the others, (model,)."""
    if len(logits) == 1:
        return np.zeros(1)
    standard = logits / np.maximum(logits.std(axis=(1, 2), keepdims=True), 1e-12)
    others = [np.median(np.delete(standard, n, axis=0), axis=0) for n in range(len(logits))]
    return _correlation(logits, np.stack(others))


def _correlation(logits: np.ndarray, other: np.ndarray) -> np.ndarray:
    ours, theirs = (values - values.mean(axis=1, keepdims=True) for values in (logits, other))
    product = (ours * theirs).mean(axis=1)
    length = np.sqrt((ours**2).mean(axis=1) * (theirs**2).mean(axis=1))
    return np.arctanh(np.clip((product / np.maximum(length, 1e-12)).mean(axis=1), -0.999, 0.999))


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Return the median slope over all pairs (Theil 1950, Sen 1968): a few outliers do not move it."""
    if len(x) > 400:  # as many pairs as anybody needs
        chosen = np.linspace(0, len(x) - 1, 400).astype(int)
        x, y = x[chosen], y[chosen]
    first, second = np.triu_indices(len(x), 1)
    across = x[second] - x[first]
    steep = np.abs(across) > 1e-9
    return float(np.median((y[second] - y[first])[steep] / across[steep])) if steep.any() else 0.0


def _wide(logits: np.ndarray) -> np.ndarray:
    """Return (row, feature): the logits of all columns, and their squares."""
    kept = logits[..., 1:]  # centred: the first class follows from the others
    flat = kept.transpose(1, 0, 2).reshape(kept.shape[1], -1)
    return np.concatenate([flat, flat**2], axis=1)
