"""From the networks' answers to a row per image."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Rows:
    """Predictions for some images.

    Args:
        image: (row,) name of the image.
        probability: (row, class) float32, the mean of the networks.
        predicted: (row,) class number.
        spread: (row,) float32, how far networks and views are apart: the standard deviation of their
            probabilities of the predicted class.
    """

    image: tuple[str, ...]
    probability: np.ndarray
    predicted: np.ndarray
    spread: np.ndarray


def make_rows(
    names: tuple[str, ...], answers: np.ndarray, every: np.ndarray, threshold: float | None = None
) -> Rows:
    """Return the rows of some images.

    Args:
        names: (image,).
        answers: (network, image, class) float32.
        every: (network and view, image, class).
        threshold: Of the second of two classes; None takes the most probable class.

    Example:
        >>> answers = np.array([[[0.8, 0.2]], [[0.4, 0.6]]], np.float32)
        >>> rows = make_rows(("a.png",), answers, answers, threshold=0.3)
        >>> rows.probability.round(2).tolist(), rows.predicted.tolist(), rows.spread.round(2).tolist()
        ([[0.6000000238418579, 0.4000000059604645]], [1], [0.20000000298023224])
    """
    # A single network's answer passes unchanged: its mean in float64 is the float32 itself.
    probability = answers.astype(np.float64).mean(axis=0).astype(np.float32)
    predicted = probability.argmax(axis=1)
    if threshold is not None:
        predicted = (probability[:, 1] >= threshold).astype(np.int64)
    chosen = every[:, np.arange(len(predicted)), predicted]
    return Rows(names, probability, predicted, chosen.std(axis=0).astype(np.float32))
