"""The loss of each image, for hard and soft targets."""

import numpy as np
import tensorflow as tf

from efn_compose.errors import ConfigError
from efn_compose.train.one_hot import OneHot
from efn_compose.train.options import TrainOptions


def image_losses(
    logits: tf.Tensor, targets: tf.Tensor, *, smoothing: float = 0.0, focal_gamma: float = 0.0
) -> tf.Tensor:
    """Return the loss of each image, in nats.

    Cross-entropy; with `focal_gamma` each class's part is weighed by (1 - p)^gamma, p its
    probability (Lin et al. 2017, arXiv:1708.02002).

    Args:
        logits: (image, class) of any float dtype.
        targets: (image, class) that sum to 1.
        smoothing: Share spread over all classes (Szegedy et al. 2016, arXiv:1512.00567).
        focal_gamma: 0 is plain cross-entropy.

    Returns:
        float32 (image,).

    Example:
        >>> round(float(image_losses(tf.zeros((1, 2)), tf.constant([[1.0, 0.0]]))[0]), 4)
        0.6931
    """
    logits = tf.cast(logits, tf.float32)
    classes = tf.cast(tf.shape(targets)[1], tf.float32)
    targets = targets * (1 - smoothing) + smoothing / classes
    logs = tf.nn.log_softmax(logits)
    if not focal_gamma:
        return -tf.reduce_sum(targets * logs, axis=1)
    # 1 - p as expm1, so that its gradient is right where p is nearly 1; never quite 0, where
    # a power below 1 has none.
    others = tf.maximum(-tf.math.expm1(logs), 1e-7)
    return -tf.reduce_sum(targets * others**focal_gamma * logs, axis=1)


def class_weights(options: TrainOptions, targets: np.ndarray | OneHot) -> np.ndarray:
    """Return the weight of each class, scaled so that training images weigh 1 on average.

    Args:
        options: `balance_classes` or `class_weights`.
        targets: (image, class) of the training images.

    Returns:
        float32 (class,).

    Raises:
        ConfigError: Another number of weights than classes, or none of them counts.

    Example:
        >>> class_weights(TrainOptions(balance_classes=True), np.eye(2)[[0, 0, 0, 1]]).tolist()
        [0.6666666865348816, 2.0]
    """
    frequency = targets.mean(axis=0)
    if options.class_weights:
        if len(options.class_weights) != len(frequency):
            raise ConfigError(
                f"train.class_weights: expected {len(frequency)}, one per class. "
                f"Received: {len(options.class_weights)}."
            )
        weights = np.array(options.class_weights, np.float64)
    elif options.balance_classes:
        weights = np.where(frequency > 0, 1 / np.maximum(frequency, 1e-12), 0.0)
    else:
        return np.ones(len(frequency), np.float32)
    mean = (weights * frequency).sum()
    if mean <= 0:
        raise ConfigError("train.class_weights: no class that occurs weighs more than 0.")
    return (weights / mean).astype(np.float32)
