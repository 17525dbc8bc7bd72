"""Combinations that learn nothing: means and medians over models."""

from collections.abc import Callable

import numpy as np

from efn_compose.numerics.ranks import midranks

#: From probabilities (model, row, class) to (row, class).
Combine = Callable[[np.ndarray], np.ndarray]
_TINY = 1e-12
#: Share of models that the trimmed mean leaves out at each end.
_TRIM = 0.2


def mean(probability: np.ndarray) -> np.ndarray:
    """Return the arithmetic mean.

    Example:
        >>> mean(np.array([[[0.5, 0.5]], [[0.9, 0.1]]])).round(2).tolist()
        [[0.7, 0.3]]
    """
    return probability.mean(axis=0, dtype=np.float64)


def median(probability: np.ndarray) -> np.ndarray:
    """Return the median of each class, scaled to sum to 1: no minority of models can move it far.

    Example:
        >>> median(np.array([[[0.5, 0.5]], [[0.6, 0.4]], [[0.0, 1.0]]])).tolist()
        [[0.5, 0.5]]
    """
    return _scaled(np.median(probability.astype(np.float64), axis=0))


def geometric(probability: np.ndarray) -> np.ndarray:
    """Return the geometric mean, scaled to sum to 1: the mean of the logits.

    Example:
        >>> geometric(np.array([[[0.9, 0.1]], [[0.1, 0.9]]])).round(2).tolist()
        [[0.5, 0.5]]
    """
    logs = np.log(np.maximum(probability.astype(np.float64), _TINY)).mean(axis=0)
    return _scaled(np.exp(logs))


def trimmed(probability: np.ndarray) -> np.ndarray:
    """Return the mean without the fifth of the models at each end, scaled to sum to 1.

    Example:
        >>> five = np.array([0.0, 0.4, 0.5, 0.6, 1.0])
        >>> trimmed(np.stack([five, 1 - five], axis=1)[:, None]).round(2).tolist()
        [[0.5, 0.5]]
    """
    models = len(probability)
    cut = min(int(_TRIM * models), (models - 1) // 2)
    kept = np.sort(probability.astype(np.float64), axis=0)[cut : models - cut]
    return _scaled(kept.mean(axis=0))


def rank_mean(probability: np.ndarray) -> np.ndarray:
    """Return the mean of each model's ranks of the rows, 0 to 1; it orders rows of one class only.

    Models of any scale weigh alike. Ranks are no probabilities: rows do not sum to 1.

    Example:
        >>> rank_mean(np.array([[[0.1], [0.9]], [[0.4], [0.5]]])).tolist()
        [[0.25], [0.75]]
    """
    rows = probability.shape[1]
    ranks = [[midranks(column) for column in model.T] for model in probability]
    return (np.mean(ranks, axis=0).T - 0.5) / rows


def _scaled(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(values.sum(axis=-1, keepdims=True), _TINY)
