"""Few images to learn from, and others to judge by, drawn from a data set of the package."""

from collections.abc import Sequence

import numpy as np

from efn_compose.data import load_table
from efn_compose.data.decoding.decode import resize_images
from efn_compose.train.recipe import TrainingData


def few_images(
    name: str, seed: Sequence[int], count: int, others: int, side: int
) -> tuple[TrainingData, np.ndarray, np.ndarray]:
    """Return training images without any to validate on, test images, and their labels.

    Args:
        name: Of the data set.
        seed: Draws the images.
        count: Images to train on.
        others: Images to test.
        side: Height and width in pixels.
    """
    table = load_table(name)
    order = np.random.default_rng(seed).permutation(len(table))
    train, test = order[:count], order[count : count + others]
    known, unseen = (resize_images(table.images, n, side, False) for n in (train, test))
    nothing = np.zeros((0, side, side, 3), np.uint8)
    labels = table.labels.astype(np.int32)
    data = TrainingData(table.class_names, known, labels[train], nothing, labels[:0])
    return data, unseen, labels[test]
