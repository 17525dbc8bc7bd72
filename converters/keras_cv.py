"""keras-cv backbones: Lite and V2; V1 is refused.

keras-cv's V1 backbone applies an activation after each projection, which no
other EfficientNet does; its weights compute something else in any of them. The
backbones scale pixels by 1/255 only (`include_rescaling`).
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from converters.keras_applications import (
    ENDS,
    IGNORE,
    is_v2,
    lettered_spec,
    part_name_v1,
    part_name_v2,
    resolve_from_config,
)
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
    argument_problems,
    backbone_config,
    has_composite_blocks,
    is_hub,
    numbered_v1_library,
)
from efn_compose.checkpoints.dialects.keras.keras_config import (
    ACTIVATIONS,
    config_layers,
    spelling,
)
from efn_compose.checkpoints.dialects.keras.keras_head import adopt_head, without_max_pooled_head
from efn_compose.checkpoints.dialects.keras.keras_names import keras_rows, output_channels
from efn_compose.checkpoints.dialects.keras.keras_order import (
    is_composite_numbered,
    is_numbered,
    name_by_order,
    name_composites_by_order,
    starts_depthwise,
)
from efn_compose.checkpoints.dialects.keras.keras_scaling import normalization_weights
from efn_compose.checkpoints.dialects.spec_reading import requested_spec
from efn_compose.checkpoints.dialects.stated_fields import refuse_unknown
from efn_compose.errors import AmbiguousCheckpointError

_OWN_LAYERS = r"stem_.*|top_.*|block\d+._.*|predictions|seed_generator.*"


def _config(raw: RawCheckpoint) -> dict[str, Any] | None:
    return backbone_config(raw.metadata.get("model_config"))


def is_v1_backbone(raw: RawCheckpoint) -> bool:
    """Return whether block names are those of the V1 backbones of keras-cv and keras-hub."""
    return "block1a_dwconv_bn/gamma" in raw.tensors and "block1a_project/kernel" in raw.tensors


def _is_numbered_v1(raw: RawCheckpoint) -> bool:
    return (
        is_numbered(raw)
        and starts_depthwise(raw)
        and normalization_weights(raw) is None
        and numbered_v1_library(raw) == "keras_cv"
    )


def _recognise(raw: RawCheckpoint) -> bool:
    config = _config(raw)
    if config is not None:
        return not is_hub(config) and len(raw.tensors) > 2
    if is_composite_numbered(raw) or _is_numbered_v1(raw):
        return True
    if "stem_conv/kernel" not in raw.tensors:
        return False
    if is_v1_backbone(raw):
        # keras-hub pads every depthwise convolution explicitly, keras-cv those of stride 2.
        paddings = (raw.metadata.get("layer_classes") or {}).get("zero_padding2d", 0)
        blocks = sum(name.endswith("_dwconv_bn/gamma") for name in raw.tensors)
        return paddings <= blocks
    if has_composite_blocks(raw):
        return True
    is_lite = "block1a_bn/gamma" in raw.tensors and not any("_se_" in n for n in raw.tensors)
    is_v1 = any(f"block1a_dwconv/{role}" in raw.tensors for role in ("kernel", "depthwise_kernel"))
    return is_lite and is_v1 and normalization_weights(raw) is None


def _refuse(raw: RawCheckpoint) -> str | None:
    has_biases = any(n.startswith("conv2d") and n.endswith("/bias") for n in raw.tensors)
    if is_v1_backbone(raw) or (_is_numbered_v1(raw) and has_biases):
        return (
            "keras-cv's V1 backbone applies its activation once more after every projection "
            "(project_activation); no other EfficientNet does, and the logits differ by three "
            "times their spread. Use the same network from keras.applications or timm."
        )
    return None


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    if is_composite_numbered(raw):
        raw = name_composites_by_order(raw, request, ENDS, part_name_v2).raw
    elif is_numbered(raw) and "stem_conv/kernel" not in raw.tensors:
        raw = name_by_order(raw, request, ENDS, part_name_v1).raw
    pooled = without_max_pooled_head(raw, "predictions")
    features = output_channels(raw, "top_conv")
    layers = config_layers(pooled.raw)
    adopted = adopt_head(pooled.raw, layers, _OWN_LAYERS, "predictions", features)
    return dataclasses.replace(adopted, ignored=pooled.ignored + adopted.ignored)


def _spec(raw: RawCheckpoint, request: Request) -> ArchSpec:
    has_dwconv2 = any("_dwconv2/" in name for name in raw.tensors)
    return lettered_spec(raw, part_name_v2 if has_dwconv2 else part_name_v1)


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    return keras_rows(spec, classes, raw, ENDS, part_name_v2 if is_v2(spec) else part_name_v1)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    config = _config(raw)
    classes = raw.metadata.get("layer_classes") or {}
    if config is not None:
        rescales, source = bool(config.get("include_rescaling")), "include_rescaling in the file"
    elif classes:
        rescales, source = "rescaling" in classes, "the file's layers"
    else:
        rescales, source = True, "include_rescaling of all presets"
    if not rescales and requested_spec(request) is None:
        raise AmbiguousCheckpointError(
            f"{raw.path}: the backbone was made with include_rescaling=False, so the caller scaled "
            "the pixels, and the file does not say how. Name the network, e.g. --arch "
            f"{spec.variant}, to accept this library's usual scaling (pixels / 255)."
        )
    resolved = resolve_from_config(raw, spec, PREPROCESSINGS["unit"], f"pixels / 255: {source}")
    if config is None:
        return resolved
    problems = argument_problems(config, spec, request.accepted)
    stated = spelling(config.get("activation") or resolved.conventions.activation)
    if stated not in ACTIVATIONS and "activation" not in request.accepted:
        problems.append(
            f"- the backbone: activation = {stated!r}; allowed: {', '.join(ACTIVATIONS)}"
        )
    refuse_unknown(raw.path, problems)
    activation = ACTIVATIONS.get(stated, resolved.conventions.activation)
    conventions = dataclasses.replace(resolved.conventions, activation=activation)
    sources = {**resolved.sources, "activation": "the backbone's configuration"}
    return dataclasses.replace(resolved, conventions=conventions, sources=sources)


DIALECT = Dialect(
    name="keras_cv",
    title="keras-cv",
    licence="Apache-2.0",
    containers=KERAS_CONTAINERS,
    recognise=_recognise,
    refuse=_refuse,
    prepare=_prepare,
    spec_from=_spec,
    rows=_rows,
    resolve=_resolve,
    ignore=IGNORE,
)
