"""One answer from the answers to several views."""

from typing import Literal

import numpy as np

from efn_compose.assess.metrics import log_softmax
from efn_compose.errors import ConfigError
from efn_compose.numerics.ranks import midranks


def merge_views(
    logits: np.ndarray, merge: Literal["mean", "median", "rank"] = "mean"
) -> np.ndarray:
    """Return one row per image from the logits of several views, or of several models.

    Args:
        logits: (view, image, class).
        merge: "mean" of the probabilities; "median" of them, rescaled to sum to 1; or "rank": each
            view ranks the images by their probability of each class, 0 to 1, and the ranks
            are averaged. Ranks weigh views alike at any scale of their probabilities; they
            order images, for an AUC or a threshold, but are no probabilities.

    Returns:
        (image, class) float64.

    Raises:
        ConfigError: Another merge, or not three axes.

    Example:
        >>> views = np.log([[[0.9, 0.1]], [[0.6, 0.4]]])
        >>> merge_views(views).round(2).tolist()
        [[0.75, 0.25]]
    """
    logits = np.asarray(logits)
    if merge not in ("mean", "median", "rank") or logits.ndim != 3 or not len(logits):
        raise ConfigError(
            "needed: logits (view, image, class) and merge 'mean', 'median' or 'rank'. Received: "
            f"{logits.shape}, {merge!r}."
        )
    stated = np.exp([log_softmax(view) for view in logits])
    if merge == "mean":
        return stated.mean(axis=0)
    if merge == "median":
        middle = np.median(stated, axis=0)
        return middle / middle.sum(axis=1, keepdims=True)
    images = stated.shape[1]
    ranks = [[midranks(column) for column in view.T] for view in stated]
    return (np.mean(ranks, axis=0).T - 0.5) / images
