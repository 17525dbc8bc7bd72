"""Handwritten digits that come with scikit-learn: no download, 1,797 images of 8×8 pixels."""

import numpy as np

from efn_compose.data.table import ImageTable

#: The grey values of the set go from 0 to this.
HIGHEST_GREY = 16


def load_digits() -> ImageTable:
    """Return the UCI handwritten digits, 1,797 grey images of 8×8 pixels, 10 classes.

    Example:
        >>> load_digits().images[0].shape
        (8, 8, 3)
    """
    from sklearn.datasets import load_digits as read_digits

    bunch = read_digits()
    grey = np.rint(bunch.images * (255 / HIGHEST_GREY)).astype(np.uint8)
    return ImageTable(
        images=np.repeat(grey[..., None], 3, axis=-1),
        labels=bunch.target.astype(np.int32),
        class_names=tuple(str(name) for name in bunch.target_names),
        name="digits",
    )
