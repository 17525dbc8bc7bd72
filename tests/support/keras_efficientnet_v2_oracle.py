"""Writes checkpoints and logits of keras_efficientnet_v2, which needs tf-keras as `tf.keras`.

Run in a process of its own: python keras_efficientnet_v2_oracle.py FOLDER [NETWORK ...]
"""

import os
import sys
from pathlib import Path

#: Nano block tables in the library's own form; `t` is its torch mode.
V2_BLOCKS = {
    "first_conv_filter": 8,
    "output_conv_filter": 128,
    "expands": [1, 4, 4, 4, 6, 6],
    "out_channels": [8, 8, 8, 16, 16, 24],
    "depthes": [1, 1, 1, 1, 2, 3],
    "strides": [1, 2, 2, 2, 1, 2],
    "use_ses": [0, 0, 0, 1, 1, 1],
}
SIDE = 64


def main(folder: Path, wanted: list[str]) -> None:
    """Save networks in every container, and what it answers."""
    import numpy as np
    from keras_efficientnet_v2 import efficientnet_v1, efficientnet_v2
    from keras_oracles import pixels, randomise

    efficientnet_v1.BLOCK_CONFIGS["b0"] = {"width": 0.1, "depth": 0.3}
    efficientnet_v1.BLOCK_CONFIGS["b1"] = {"width": 0.25, "depth": 1.1}
    common = {
        "input_shape": (SIDE, SIDE, 3),
        "num_classes": 7,
        "classifier_activation": None,
        "pretrained": None,
    }
    networks = {
        "v1": lambda: efficientnet_v1.EfficientNetV1("b0", **common),
        "deep": lambda: efficientnet_v1.EfficientNetV1("b1", **common),
        "v2": lambda: efficientnet_v2.EfficientNetV2({"nano": dict(V2_BLOCKS)}, **common),
        "torch": lambda: efficientnet_v2.EfficientNetV2(
            {"nano": dict(V2_BLOCKS)}, is_torch_mode=True, **common
        ),
        "scaled": lambda: efficientnet_v2.EfficientNetV2(
            {"nano": {**V2_BLOCKS, "rescale_mode": "tf"}}, include_preprocessing=True, **common
        ),
    }
    for name in wanted:
        model = networks[name]()
        inputs = pixels() if name == "scaled" else pixels() / 64 - 2
        randomise(model, np.float32(inputs))
        model.save_weights(folder / f"{name}_weights.h5")
        model.save(folder / f"{name}.h5")
        model.save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.npz", inputs=inputs, logits=model(inputs, training=False))


if __name__ == "__main__":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(Path(sys.argv[1]), sys.argv[2:])
