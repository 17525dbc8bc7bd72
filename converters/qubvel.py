"""qubvel/efficientnet (`efficientnet.tfkeras`, `efficientnet.keras`): V1 and L2.

Layers are called as in `keras.applications`, but the classifier is `probs` and
no layer scales the input; all its weights want ImageNet mean and deviation.
"""

from collections.abc import Iterator

from converters.keras_applications import IGNORE, lettered_spec, part_name_v1, resolve_from_config
from efn_compose.arch import PREPROCESSINGS, ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import (
    KERAS_CONTAINERS,
    Dialect,
    Prepared,
    Request,
    Resolved,
    Row,
)
from efn_compose.checkpoints.dialects.keras.keras_backbones import (
    backbone_config,
    has_composite_blocks,
    numbered_v1_library,
)
from efn_compose.checkpoints.dialects.keras.keras_config import config_layers
from efn_compose.checkpoints.dialects.keras.keras_head import adopt_head
from efn_compose.checkpoints.dialects.keras.keras_names import keras_rows, output_channels
from efn_compose.checkpoints.dialects.keras.keras_order import (
    is_numbered,
    name_by_order,
    starts_depthwise,
)
from efn_compose.checkpoints.dialects.keras.keras_scaling import (
    config_preprocessing,
    normalization_weights,
)
from efn_compose.checkpoints.dialects.spec_reading import requested_spec

_ENDS = {
    "stem_conv": "stem_conv",
    "stem_bn": "stem_bn",
    "top_conv": "top_conv",
    "top_bn": "top_bn",
    "predictions": "probs",
}
_OWN_LAYERS = r"stem_.*|top_.*|block\d+._.*|probs|seed_generator.*"


def _recognise(raw: RawCheckpoint) -> bool:
    if normalization_weights(raw) is not None or has_composite_blocks(raw):
        return False
    if backbone_config(raw.metadata.get("model_config")) is not None:
        return False
    if raw.container == "keras-weights" and is_numbered(raw):
        return starts_depthwise(raw) and numbered_v1_library(raw) == "qubvel"
    return (
        "block1a_se_reduce/kernel" in raw.tensors
        and any(f"block1a_dwconv/{role}" in raw.tensors for role in ("kernel", "depthwise_kernel"))
        and "block1a_bn/gamma" in raw.tensors
    )


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    if is_numbered(raw) and "stem_conv/kernel" not in raw.tensors:
        raw = name_by_order(raw, request, _ENDS, part_name_v1).raw
    features = output_channels(raw, "top_conv")
    return adopt_head(raw, config_layers(raw), _OWN_LAYERS, "probs", features)


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    return keras_rows(spec, classes, raw, _ENDS, part_name_v1)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    layers = config_layers(raw)
    has_stem = any(layer.name == "stem_conv" for layer in layers)
    if has_stem and requested_spec(request) is None:
        found = config_preprocessing(raw, layers, "stem_conv")
        if found is not None:
            # A user's own Rescaling in front of the backbone.
            return resolve_from_config(
                raw, spec, found, "layers before the stem in the file's configuration"
            )
    scaling = PREPROCESSINGS["imagenet"]
    return resolve_from_config(raw, spec, scaling, "all weights of this library (no layer scales)")


DIALECT = Dialect(
    name="qubvel",
    title="qubvel/efficientnet",
    licence="Apache-2.0",
    containers=KERAS_CONTAINERS | {"tf-checkpoint", "tf-saved-model"},
    recognise=_recognise,
    prepare=_prepare,
    spec_from=lambda raw, request: lettered_spec(raw, part_name_v1),
    rows=_rows,
    resolve=_resolve,
    ignore=IGNORE,
)
