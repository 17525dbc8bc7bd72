"""Image numbers in batches that weigh every image alike."""

import numpy as np


def updates_in(count: int, batch: int, epochs: float = 1.0) -> int:
    """Return the updates of some epochs: of whole batches only, and at least one.

    Args:
        count: Number of images, at least 1.
        batch: Images of an update; all, where there are fewer.
        epochs: How often each image is seen, about.

    Example:
        >>> updates_in(320, 32), updates_in(320, 32, 0.25), updates_in(20, 32)
        (10, 2, 1)
    """
    return max(1, round(count // min(batch, count) * epochs))


def even_batches(count: int, most: int) -> np.ndarray:
    """Return image numbers (batch, image) int32 in equal batches, each image at most once.

    A batch that was filled up with copies of one image would count that image's statistics
    many times. What does not divide evenly, fewer images than batches, is left out.

    Args:
        count: Number of images, at least 1.
        most: Images that a batch may have.

    Example:
        >>> even_batches(7, 3).tolist()
        [[0, 1], [2, 3], [4, 5]]
    """
    batches = -(-count // most)
    each = count // batches
    return np.arange(batches * each, dtype=np.int32).reshape(batches, each)
