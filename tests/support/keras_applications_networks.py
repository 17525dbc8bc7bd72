"""Narrow networks of keras.applications and tf_keras.applications, and files like theirs."""

from pathlib import Path
from typing import Any

import numpy as np

from converters.keras_applications import DIALECT
from efn_compose.arch import arch_spec, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor

V1, V2, V2_S = "b-w0.1-d0.3", "v2-b-w0.1-d0.3", "v2-s-w0.25-d0.3"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 64


def library(name: str) -> tuple[Any, Any, Any]:
    """Return keras or tf_keras with its V1 and V2 modules."""
    if name == "keras":
        import keras
        from keras.src.applications import efficientnet, efficientnet_v2

        return keras, efficientnet, efficientnet_v2
    import tf_keras
    from tf_keras.src.applications import efficientnet, efficientnet_v2

    return tf_keras, efficientnet, efficientnet_v2


def build(library_name: str, variant: str, shape=(SIDE, SIDE, 3), **options: Any) -> Any:
    """Return a narrow network of a library; V1 with ImageNet scaling in its Normalization."""
    spec = arch_spec(variant)
    _, v1, v2 = library(library_name)
    options = {"weights": None, "classifier_activation": None, "classes": 7, **options}
    if variant.startswith("v2-"):
        naming = "model_name" if library_name == "tf_keras" else "name"
        base = variant.partition("-w")[0]
        name = "efficientnetv2-b0" if base == "v2-b" else f"efficient{base.replace('v2', 'netv2')}"
        options = {naming: name, **options}
        return v2.EfficientNetV2(spec.width, spec.depth, SIDE, input_shape=shape, **options)
    model = v1.EfficientNet(spec.width, spec.depth, SIDE, input_shape=shape, **options)
    set_normalization(model, MEAN, np.square(STD))
    return model


def set_normalization(model: Any, mean: Any, variance: Any) -> None:
    layer = next(x for x in model.layers if type(x).__name__ == "Normalization")
    layer.set_weights([np.float32(mean), np.float32(variance), np.asarray(0, np.int64)])
    layer.finalize_state()


def synthetic(variance: Any, mean: Any = MEAN, **metadata: Any) -> RawCheckpoint:
    """Return B0's names and shapes with a Normalization layer of given values."""
    spec = arch_spec("b0")
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec, 1000)}
    tensors = {
        row.foreign: RawTensor(row.foreign, shapes[row.canonical], "float32", lambda: None)
        for row in DIALECT.rows(spec, 1000, None)
    }
    for role, values in (("mean", mean), ("variance", variance)):
        array = np.float32(values)
        tensors[f"normalization/{role}"] = RawTensor(role, (3,), "float32", lambda a=array: a)
    return RawCheckpoint(Path("b0.h5"), "h5-weights", tensors, metadata)
