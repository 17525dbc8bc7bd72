"""Scores of features for a task, without training: how well they predict the labels."""

import numpy as np

#: Neighbours whose classes are compared.
NEIGHBOURS = 5


def cosine_neighbours(
    features: np.ndarray, labels: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Return how often the nearest images by cosine are of the same class, leaving one out.

    Args:
        features: (image, channel).
        labels: (image,) class numbers.
        neighbours: Neighbours for the second figure.

    Returns:
        Share of images whose nearest neighbour is of their class, and mean share of
        their class among the nearest few. Where rank correlations with fine-tuning
        were compared, this simple score did best (arXiv:2503.18528).

    Example:
        >>> points = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
        >>> cosine_neighbours(points, np.array([0, 0, 1, 1]), neighbours=1)
        (1.0, 1.0)
    """
    features = features.astype(np.float64)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(norms, 1e-12)
    neighbours = min(neighbours, len(features) - 1)
    nearest, shares = [], []
    for start in range(0, len(unit), 1024):
        rows = np.arange(start, min(start + 1024, len(unit)))
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
        same = labels[order] == labels[rows, None]
        nearest.append(same[:, 0])
        shares.append(same.mean(axis=1))
    return float(np.concatenate(nearest).mean()), float(np.concatenate(shares).mean())


def log_me(features: np.ndarray, labels: np.ndarray) -> float:
    """Return LogME, the log evidence of a Bayesian linear read-out per image and class.

    You et al. 2021 (arXiv:2102.11005): prior and noise precision are those that
    maximise the evidence, found by fixed-point iteration for each class.

    Args:
        features: (image, channel).
        labels: (image,) class numbers.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.arange(60) % 3
        >>> good = np.eye(3)[labels] + 0.1 * rng.normal(size=(60, 3))
        >>> log_me(good, labels) > log_me(rng.normal(size=(60, 3)), labels)
        True
    """
    features = features.astype(np.float64)
    left, values, _ = np.linalg.svd(features, full_matrices=False)
    classes = np.unique(labels)
    targets = (labels[:, None] == classes).astype(np.float64)
    evidences = [
        _evidence(left.T @ target, values**2, target, features.shape[1]) for target in targets.T
    ]
    return float(np.mean(evidences))


def _evidence(
    projected: np.ndarray, eigenvalues: np.ndarray, target: np.ndarray, channels: int
) -> float:
    """Return the largest log evidence per image of a linear model with Gaussian prior."""
    count = len(target)
    outside = max(float(target @ target - projected @ projected), 0.0)
    prior, noise = 1.0, 1.0
    for _ in range(200):
        ratio = prior / noise
        share = eigenvalues / (eigenvalues + ratio)
        effective = share.sum()
        weights = float(np.sum(eigenvalues * projected**2 / (eigenvalues + ratio) ** 2))
        residual = float(np.sum((projected * (1 - share)) ** 2)) + outside
        old, prior = ratio, effective / max(weights, 1e-12)
        noise = (count - effective) / max(residual, 1e-12)
        if abs(prior / noise - old) <= 1e-6 * old:
            break
    ratio = prior / noise
    weights = float(np.sum(eigenvalues * projected**2 / (eigenvalues + ratio) ** 2))
    residual = float(np.sum((projected * ratio / (eigenvalues + ratio)) ** 2)) + outside
    log_determinant = np.sum(np.log(prior + noise * eigenvalues))
    log_determinant += (channels - len(eigenvalues)) * np.log(prior)
    evidence = channels * np.log(prior) + count * np.log(noise / (2 * np.pi))
    return float((evidence - noise * residual - prior * weights - log_determinant) / (2 * count))


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Return the H-score with Ledoit-Wolf shrinkage: class variance relative to all variance.

    Bao et al. 2019, shrunk as by Ibrahim et al. 2021 (arXiv:2110.06893), without
    which it is undefined for fewer images than channels.

    Args:
        features: (image, channel).
        labels: (image,) class numbers.

    Returns:
        tr(S⁻¹ B)(1 - shrinkage) for the shrunk covariance S and the covariance B of
        the class means; from 0 to at most the number of classes less one.

    Example:
        >>> labels = np.arange(60) % 3
        >>> bool(h_score(np.eye(3)[labels][:, :2], labels) > 1.5)
        True
    """
    from sklearn.covariance import ledoit_wolf

    centred = features.astype(np.float64)
    centred = centred - centred.mean(axis=0)
    deviation = centred.std(axis=0)
    centred = centred[:, deviation > 1e-9 * max(deviation.max(), 1e-300)]
    if not centred.shape[1]:
        return 0.0
    covariance, shrinkage = ledoit_wolf(centred, assume_centered=True)
    means = np.zeros_like(centred)
    for number in np.unique(labels):
        means[labels == number] = centred[labels == number].mean(axis=0)
    between = means.T @ means / len(means)
    return float((1 - shrinkage) * np.trace(np.linalg.solve(covariance, between)))
