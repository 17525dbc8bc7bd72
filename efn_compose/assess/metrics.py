"""Scores from logits."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return log-probabilities (image, class) in float64.

    Example:
        >>> float(np.exp(log_softmax(np.array([[0.0, 0.0]])))[0, 1])
        0.5
    """
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy, in nats.

    Args:
        logits: (image, class).
        labels: int (image,).

    Example:
        >>> round(cross_entropy(np.zeros((4, 2)), np.array([0, 1, 0, 1])), 4)
        0.6931
    """
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest logit is their class's, 0 to 1.

    Example:
        >>> accuracy(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
        0.5
    """
    return float((logits.argmax(axis=1) == labels).mean())


def area_under_curve(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC curve, averaged over one-against-rest classes.

    Args:
        logits: (image, class).
        labels: int (image,); every class must occur.

    Example:
        >>> area_under_curve(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1, 0]))
        1.0
    """
    from sklearn.metrics import roc_auc_score

    probabilities = np.exp(log_softmax(logits))
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(
        roc_auc_score(
            labels, probabilities / probabilities.sum(1, keepdims=True), multi_class="ovr"
        )
    )


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the divisor of the logits that gives the smallest cross-entropy, 0.05 to 50.

    Guo et al. 2017 (arXiv:1706.04599). The cross-entropy is convex in the inverse temperature,
    so that its slope has one root. Where every image is right there is none, and the smaller the
    temperature the smaller the loss. Labels are smoothed then, as if one further image of each kind had
    been seen, right and wrong (Platt 1999, "Probabilistic outputs for support vector machines").

    Args:
        logits: (image, class).
        labels: int (image,).

    Example:
        >>> round(best_temperature(np.array([[6.0, 0.0]] * 4), np.array([0, 0, 0, 1])), 2)
        5.46
    """
    logits = logits.astype(np.float64)
    true = logits[np.arange(len(labels)), labels]
    if (logits.argmax(axis=1) == labels).all():
        share = 1 / (len(labels) + 2)
        true = (1 - share) * true + share * logits.mean(axis=1)

    def slope(inverse: float) -> float:
        chances = np.exp(log_softmax(logits * inverse))
        return float(((chances * logits).sum(axis=1) - true).mean())

    low, high = 1 / 50, 1 / 0.05
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / (low * high) ** 0.5


def scores(
    logits: np.ndarray, labels: np.ndarray, metric: str, *, temperature: float = 1.0
) -> dict[str, float]:
    """Return loss, accuracy and, where `metric` is "auc", the area under the curve.

    Args:
        logits: (image, class).
        labels: int (image,).
        metric: "accuracy" or "auc".
        temperature: Divisor of the logits whose loss is taken, such as `best_temperature` of other
            images: a network that trained long is too sure of itself, and one number repairs that.
    """
    loss = cross_entropy(logits / temperature, labels)
    found = {"loss": loss, "accuracy": accuracy(logits, labels)}
    if metric == "auc":
        found["auc"] = area_under_curve(logits, labels)
    return found
