"""What features are worth before any training: the cheapest rung of a search."""

import numpy as np

from efn_compose.assess.transfer_scores import NEIGHBOURS
from efn_compose.nesting.heads import fit_ridge

#: Training images the ridge classifier is fitted on; its cost grows with their cube.
RIDGE_IMAGES = 512


def probe_scores(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    classes: int,
) -> dict[str, float]:
    """Score features by a closed-form classifier and by nearest neighbours.

    Args:
        train_features: (image, channel) of training images.
        train_labels: (image,) class numbers.
        features: (image, channel) of the images to score on.
        labels: (image,) class numbers.
        classes: Number of classes.

    Returns:
        "accuracy" of a ridge classifier; "knn", the mean share of the image's class among its
        5 nearest training images by cosine; "loss", the mean of what both miss, in [0, 1].

    Example:
        >>> corners = np.eye(2)[[0, 1, 0, 1, 0, 1]]
        >>> probe_scores(corners, np.array([0, 1] * 3), corners[:2], np.array([0, 1]), 2)["accuracy"]
        1.0
    """
    kernel, bias = fit_ridge(
        train_features[:RIDGE_IMAGES].astype(np.float64),
        np.eye(classes)[train_labels[:RIDGE_IMAGES]],
    )
    outputs = features @ kernel + bias
    accuracy = float((outputs.argmax(axis=1) == labels).mean())
    similarity = _unit(features) @ _unit(train_features).T
    neighbours = min(NEIGHBOURS, len(train_labels))
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
    knn = float((train_labels[nearest] == labels[:, None]).mean())
    return {"loss": 1 - (accuracy + knn) / 2, "accuracy": accuracy, "knn": knn}


def _unit(features: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(norms, 1e-12)
