"""Small backbones of keras-cv."""

from typing import Any

SIDE = 64
V1_STAGES: dict[str, Any] = {
    "stackwise_kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "stackwise_num_repeats": [1, 2, 2, 3, 3, 4, 1],
    "stackwise_input_filters": [32, 16, 24, 40, 80, 112, 192],
    "stackwise_output_filters": [16, 24, 40, 80, 112, 192, 320],
    "stackwise_expansion_ratios": [1, 6, 6, 6, 6, 6, 6],
    "stackwise_strides": [1, 2, 2, 2, 1, 2, 1],
}
V2_STAGES: dict[str, Any] = {
    "stackwise_kernel_sizes": [3] * 6,
    "stackwise_num_repeats": [1, 2, 2, 3, 5, 8],
    "stackwise_input_filters": [32, 16, 32, 48, 96, 112],
    "stackwise_output_filters": [16, 32, 48, 96, 112, 192],
    "stackwise_expansion_ratios": [1, 4, 4, 4, 6, 6],
    "stackwise_squeeze_and_excite_ratios": [0, 0, 0, 0.25, 0.25, 0.25],
    "stackwise_strides": [1, 2, 2, 2, 1, 2],
    "stackwise_conv_types": ["fused"] * 3 + ["unfused"] * 3,
}


def backbone(
    kind: str, include_rescaling: bool = True, width: float = 0.1, depth: float = 0.3
) -> Any:
    """Return a small backbone; the base classes fetch nothing from the network."""
    from keras_cv.src.models.backbones.efficientnet_lite import efficientnet_lite_backbone as lite
    from keras_cv.src.models.backbones.efficientnet_v1 import efficientnet_v1_backbone as v1
    from keras_cv.src.models.backbones.efficientnet_v2 import efficientnet_v2_backbone as v2

    common = {
        "include_rescaling": include_rescaling,
        "depth_coefficient": depth,
        "input_shape": (SIDE, SIDE, 3),
    }
    if kind == "lite":
        # Its stem does not scale but stage 1 does: only width 1 builds.
        return lite.EfficientNetLiteBackbone(width_coefficient=1.0, **V1_STAGES, **common)
    if kind == "v1":
        return v1.EfficientNetV1Backbone(
            width_coefficient=width,
            stackwise_squeeze_and_excite_ratios=[0.25] * 7,
            **V1_STAGES,
            **common,
        )
    return v2.EfficientNetV2Backbone(width_coefficient=width, **V2_STAGES, **common)
