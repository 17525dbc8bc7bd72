"""A network of two blocks and images of four classes: a training takes seconds, tracing included."""

import numpy as np
from random_donors import TINY, random_donor

from efn_compose.donors import Donor
from efn_compose.train.recipe import TrainingData


def tiny_donor(seed: int = 0) -> Donor:
    """Return random weights of the two blocks, without a classifier."""
    return random_donor(TINY, seed, name="tiny", classes=None)


def quarters(count: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images 16 x 16 one quarter of which is bright, and which one it is."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = rng.integers(0, 120, (count, 16, 16, 3))
    for number, label in enumerate(labels):
        y, x = 8 * (label // 2), 8 * (label % 2)
        images[number, y : y + 8, x : x + 8, label % 3] += 110
    return images.astype(np.uint8), labels.astype(np.int32)


def tiny_data(validation: int = 32) -> TrainingData:
    """Return 96 training images and some to validate on."""
    images, labels = quarters()
    return TrainingData(("a", "b", "c", "d"), images, labels, *quarters(validation, seed=1))
