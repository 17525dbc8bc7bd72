"""The images and features that a new classifier begins with."""

from typing import Any

import keras
import numpy as np

from efn_compose.arch import HEAD_LAYER

#: Most training images whose features are looked at.
HEAD_IMAGES = 1024


def head_numbers(count: int) -> np.ndarray:
    """Return the numbers of the training images that a classifier begins with, evenly spread.

    They depend on nothing else, so that equal weights begin with equal classifiers.

    Args:
        count: Number of training images.

    Returns:
        int32 (image,), ascending.

    Example:
        >>> head_numbers(3).tolist(), len(head_numbers(5000)), int(head_numbers(5000)[-1])
        ([0, 1, 2], 1024, 4995)
    """
    taken = min(count, HEAD_IMAGES)
    return (np.arange(taken, dtype=np.int64) * count // max(taken, 1)).astype(np.int32)


def classifier_input(model: keras.Model) -> Any:
    """Return the Keras tensor that a network's classifier reads, before dropout."""
    names = [layer.name for layer in model.layers]
    return model.get_layer("dropout" if "dropout" in names else HEAD_LAYER).input
