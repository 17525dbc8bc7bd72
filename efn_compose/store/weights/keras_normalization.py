"""The weights of the layer that V1 models of `keras.applications` begin with."""

import numpy as np

from efn_compose.arch import VARIANTS
from efn_compose.store.weights.weight_header import WeightHeader

NORMALIZATION_LAYER = "normalization"


def normalization_weights(header: WeightHeader) -> dict[str, np.ndarray]:
    """Return the weights of that layer by role, which sees pixels / 255; none for other networks.

    Args:
        header: Of the weight file.
    """
    spec, scaling = header.spec, header.conventions.preprocessing
    if spec.family != "b" or spec.variant not in VARIANTS:
        return {}
    if spec.variant not in {f"b{n}" for n in range(8)}:
        return {}
    return {
        "mean": np.asarray(scaling.mean, np.float32) / 255,
        "variance": (np.asarray(scaling.std, np.float32) / 255) ** 2,
        "count": np.asarray(0, np.int64),
    }
