"""Small networks of keras-hub."""

from typing import Any

import numpy as np
from keras_cv_networks import V1_STAGES

SIDE, VARIANT = 64, "b-w0.1-d0.3"
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def backbone(**changes: Any) -> Any:
    from keras_hub.src.models.efficientnet.efficientnet_backbone import EfficientNetBackbone

    stages = {
        **V1_STAGES,
        "stackwise_width_coefficients": [0.1] * 7,
        "stackwise_depth_coefficients": [0.3] * 7,
        "stackwise_squeeze_and_excite_ratios": [0.25] * 7,
        "stackwise_block_types": ["v1"] * 7,
    }
    options = {
        **stages,
        "min_depth": None,
        "use_depth_divisor_as_min_depth": True,
        "cap_round_filter_decrease": True,
        "dropout": 0,
        "input_shape": (SIDE, SIDE, 3),
    }
    return EfficientNetBackbone(**{**options, **changes})


def classifier(network: Any) -> Any:
    from keras_hub.src.models.efficientnet import (
        efficientnet_image_classifier,
        efficientnet_image_classifier_preprocessor,
        efficientnet_image_converter,
    )

    converter = efficientnet_image_converter.EfficientNetImageConverter(
        image_size=(SIDE, SIDE), scale=list(1 / 255 / STD), offset=list(-MEAN / STD)
    )
    kind = efficientnet_image_classifier_preprocessor.EfficientNetImageClassifierPreprocessor
    return efficientnet_image_classifier.EfficientNetImageClassifier(
        network, num_classes=7, preprocessor=kind(image_converter=converter)
    )


def scaled(images: np.ndarray) -> np.ndarray:
    return np.float32((images / 255 - MEAN) / STD)
