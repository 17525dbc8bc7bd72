"""Classifiers for nested and cut networks: more classes, or new ones in closed form.

Both run on the small network before it is nested: nesting keeps features and
logits, so the large network starts with the same classifier.
"""

import numpy as np

from efn_compose.arch import HEAD_LAYER
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, DataError
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

#: Ridge strengths tried, as shares of the mean eigenvalue of the features' Gram matrix.
_STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 3))
#: Scales tried for turning regression scores into logits.
_SCALES = tuple(np.geomspace(0.5, 50, 25))

_SMOOTHING = 0.02


def widen_head(donor: Donor, classes: int) -> Donor:
    """Add classes to a donor's classifier; the old logits do not change.

    A new class starts at the mean of all old logits, so it is neither preferred
    nor excluded.

    Args:
        donor: A donor with a classifier.
        classes: The new number of classes, at least the old one.

    Raises:
        ConfigError: The donor has no classifier, or more classes than asked for.

    Example:
        >>> widen_head(donor, donor.classes + 5).classes - donor.classes  # doctest: +SKIP
        5
    """
    if donor.classes is None or classes < donor.classes:
        raise ConfigError(
            f"{donor.name}: cannot widen a classifier of {donor.classes} classes to {classes}. Give "
            "at least the old number, or fit a new classifier: ridge_head(donor, images, labels)."
        )
    added = classes - donor.classes
    tensors = dict(donor.tensors)
    for role in ("kernel", "bias"):
        values = tensors[f"{HEAD_LAYER}/{role}"]
        neutral = values.mean(axis=-1, keepdims=True)
        tensors[f"{HEAD_LAYER}/{role}"] = np.concatenate([values, *[neutral] * added], axis=-1)
    return donor.replace(tensors=tensors)


def ridge_head(
    donor: Donor,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    classes: int | None = None,
    batch_size: int = 64,
) -> Donor:
    """Replace a donor's classifier by a closed-form ridge regression on its features.

    The ridge strength and the scale that turns scores into logits are chosen by
    exact leave-one-out predictions; nothing is trained.

    Args:
        donor: The features' weights; a classifier it has is dropped.
        images: RGB (image, height, width, 3), values 0-255.
        labels: Class numbers (image,), 0 and up.
        classes: Number of classes; default the largest label plus one.
        batch_size: Images per forward pass.

    Returns:
        The donor with the new classifier.

    Raises:
        DataError: Too few images, or labels that do not fit.

    Example:
        >>> donor = ridge_head(donor, images, labels)  # doctest: +SKIP
    """
    labels = np.asarray(labels)
    count = int(labels.max()) + 1 if classes is None and labels.size else classes or 0
    if len(images) != len(labels) or len(labels) < 2 or labels.min() < 0 or labels.max() >= count:
        raise DataError(
            f"ridge_head needs at least two images, one label each, labels from 0 to {count - 1}. "
            f"Received: {len(images)} images, {len(labels)} labels."
        )
    headless = donor.without_head()
    # Further parts read the backbone, which stays as it is.
    network = NumpyNetwork(WeightSource.of(headless.replace(parts={})), "float32")
    parts = np.array_split(np.arange(len(images)), -(-len(images) // batch_size))
    features = np.concatenate([network.run(donor.preprocess(images[part])) for part in parts])
    kernel, bias = fit_ridge(features.astype(np.float64), np.eye(count)[labels])
    tensors = dict(headless.tensors)
    tensors[f"{HEAD_LAYER}/kernel"] = kernel.astype(np.float32)
    tensors[f"{HEAD_LAYER}/bias"] = bias.astype(np.float32)
    # What is said of the old classes is not true of the new ones.
    return headless.replace(tensors=tensors)


def fit_ridge(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of a ridge classifier, strength and scale by leave-one-out.

    Args:
        features: (image, feature).
        targets: One-hot (image, class).

    Returns:
        Kernel (feature, class) and bias (class,), giving logits.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6 * max(scale.max(), 1e-30), scale, np.inf)
    centred = (features - mean) / scale
    prior = targets.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values = np.maximum(values, 0)
    projected = vectors.T @ (targets - prior)
    tried = []
    for strength in _STRENGTHS:
        shrink = values / (values + strength * max(values.mean(), 1e-30))
        fitted = vectors @ (shrink[:, None] * projected)
        # The mean uses up 1/n of each image's own influence.
        own = np.square(vectors) @ shrink + 1 / len(targets)
        left_out = targets - prior - (targets - prior - fitted) / np.maximum(1 - own, 1e-3)[:, None]
        error = float(np.square(targets - prior - left_out).mean())
        tried.append((error, strength, left_out))
    _, strength, left_out = min(tried, key=lambda row: row[0])
    # Smoothed labels: with no errors left out, the likeliest scale would be infinite.
    soft = (1 - _SMOOTHING) * targets + _SMOOTHING / targets.shape[1]
    factor = min(_SCALES, key=lambda scale: _cross_entropy(scale * left_out, soft))
    dual = vectors @ (projected / (values + strength * max(values.mean(), 1e-30))[:, None])
    kernel = factor * (centred.T @ dual) / scale[:, None]
    return kernel, factor * prior - mean @ kernel


def _cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - (shifted * targets).sum(axis=1)).mean())
