"""The weights of the layer that V1 models of `keras.applications` begin with."""

import numpy as np

from efn_compose.arch import base_of
from efn_compose.store.weights.weight_header import WeightHeader

NORMALIZATION_LAYER = "normalization"
#: What Keras' `EfficientNet(width, depth, ...)` scales: B0 to B8, L2 and all other coefficients.
V1_BASE = "b"


def normalization_weights(header: WeightHeader) -> dict[str, np.ndarray]:
    """Return the weights of that layer by role, which sees pixels / 255; none for other families.

    Args:
        header: Of the weight file.
    """
    scaling = header.conventions.preprocessing
    if base_of(header.spec) != V1_BASE:
        return {}
    return {
        "mean": np.asarray(scaling.mean, np.float32) / 255,
        "variance": (np.asarray(scaling.std, np.float32) / 255) ** 2,
        "count": np.asarray(0, np.int64),
    }
