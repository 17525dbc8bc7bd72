"""keras-hub EfficientNet backbones and classifiers, alone or as a preset folder.

A backbone states its epsilon, activation and padding in its configuration only:
inside a `.keras` archive, or in the `config.json` of a preset folder, whose
classifier lies in `task.weights.h5`. Its composite blocks pad stride-2 depthwise
convolutions like TensorFlow while everything else pads symmetrically; networks
that contain both are refused.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.keras_applications import ENDS, IGNORE, block_places
from converters.keras_cv import is_v1_backbone
from efn_compose.arch import PREPROCESSINGS, ArchSpec, Preprocessing, default_conventions
from efn_compose.arch.conventions import Activation
from efn_compose.checkpoints.containers.keras import keras_h5
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import BlockPlace
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
    find_config,
    is_hub,
    numbered_v1_library,
)
from efn_compose.checkpoints.dialects.keras.keras_config import config_layers
from efn_compose.checkpoints.dialects.keras.keras_head import adopt_head, without_max_pooled_head
from efn_compose.checkpoints.dialects.keras.keras_names import (
    keras_rows,
    output_channels,
    spec_from_blocks,
)
from efn_compose.checkpoints.dialects.keras.keras_order import (
    is_composite_numbered,
    is_numbered,
    name_by_order,
    starts_depthwise,
)
from efn_compose.checkpoints.dialects.keras.keras_scaling import normalization_weights
from efn_compose.checkpoints.dialects.stated_fields import refuse_unknown
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

_OWN_LAYERS = r"stem_.*|top_.*|block\d+._.*|predictions|seed_generator.*"
_PARTS = {"depthwise_conv": "dwconv", "depthwise_bn": "dwconv_bn", "project_conv": "project"}
#: Files of a preset folder that say how its weights are run.
_PRESET_FILES = ("config.json", "task.json", "preprocessor.json", "image_converter.json")
_MAX_JSON_BYTES = 4 << 20
_ACTIVATIONS: dict[str, Activation] = {
    "swish": "swish",
    "silu": "swish",
    "relu6": "relu6",
    "relu": "relu",
}


def _part_name(place: BlockPlace, part: str) -> str:
    return f"block{place.stage}{chr(96 + place.repeat)}_{_PARTS.get(part, part)}"


def _is_v2_block(raw: RawCheckpoint) -> bool:
    return is_composite_numbered(raw) or any(
        "_dwconv2/" in name or name.startswith("block1a_expand_conv/") for name in raw.tensors
    )


def _recognise(raw: RawCheckpoint) -> bool:
    config = _stated_config(raw)
    if config is not None:
        return is_hub(config) and len(raw.tensors) > 2
    if is_numbered(raw) and starts_depthwise(raw) and normalization_weights(raw) is None:
        return numbered_v1_library(raw) == "keras_hub"
    if not is_v1_backbone(raw):
        return False
    classes = raw.metadata.get("layer_classes")
    blocks = sum(name.endswith("_dwconv_bn/gamma") for name in raw.tensors)
    # keras-hub pads every depthwise convolution explicitly, keras-cv those of stride 2.
    return not classes or classes.get("zero_padding2d", 0) > blocks


def _stated_config(raw: RawCheckpoint) -> dict[str, Any] | None:
    """Return the backbone's arguments: from the archive, or the preset folder around the file."""
    inside = backbone_config(raw.metadata.get("model_config"))
    return inside if inside is not None else backbone_config(_preset(raw.path))


def _preset(path: Path) -> list[Any]:
    """Return the parsed configuration files of the preset folder that a file lies in."""
    if not path.name.endswith(".weights.h5"):
        return []
    found = []
    for name in _PRESET_FILES:
        file = path.parent / name
        if file.is_file() and file.stat().st_size <= _MAX_JSON_BYTES:
            found.append(keras_h5.parse_config(file.read_bytes(), str(file)))
    return found


def _refuse(raw: RawCheckpoint) -> str | None:
    config = _stated_config(raw) or {}
    if config.get("projection_activation"):
        return (
            f"projection_activation={config['projection_activation']!r} applies an activation "
            "after every projection, which no other EfficientNet does."
        )
    blocks = set(config.get("stackwise_block_types") or (["v2"] if _is_v2_block(raw) else ["v1"]))
    if blocks - {"v1"}:
        return (
            "its composite blocks (V2, EdgeTPU) pad stride-2 depthwise convolutions like "
            "TensorFlow and all others symmetrically, which neither the library they came from nor "
            "any other network does. Use the same weights from timm."
        )
    return None


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    preset = _preset(raw.path)
    if preset:
        config = {"preset": preset}
        metadata = {**raw.metadata, "model_config": raw.metadata.get("model_config", config)}
        raw = dataclasses.replace(raw, metadata=metadata)
    head = raw.path.parent / "task.weights.h5"
    is_backbone = raw.path.name == "model.weights.h5" and "predictions/kernel" not in raw.tensors
    if preset and is_backbone and head.is_file():
        task = keras_h5.read(head)
        extra = {
            f"predictions/{role}": task.tensors[name]
            for role in ("kernel", "bias")
            for name in (f"predictions/{role}", f"dense/{role}", f"output_dense/{role}")
            if name in task.tensors
        }
        note = f"classifier read from {head.name} beside the file"
        raw = dataclasses.replace(raw, tensors={**raw.tensors, **extra}, notes=(*raw.notes, note))
    if is_numbered(raw) and "stem_conv/kernel" not in raw.tensors:
        raw = name_by_order(raw, request, ENDS, _part_name).raw
    pooled = without_max_pooled_head(raw, "predictions")
    features = output_channels(raw, "top_conv")
    adopted = adopt_head(
        pooled.raw, config_layers(pooled.raw), _OWN_LAYERS, "predictions", features
    )
    return dataclasses.replace(adopted, ignored=pooled.ignored + adopted.ignored)


def _spec(raw: RawCheckpoint, request: Request) -> ArchSpec:
    places = block_places(raw)
    return spec_from_blocks(raw, places, _part_name, "top_conv")


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    return keras_rows(spec, classes, raw, ENDS, _part_name)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    config = _stated_config(raw)
    scaling, source = _scaling(raw, request)
    preset = _preset_name(request)
    if config is None and preset is None:
        raise AmbiguousCheckpointError(
            f"{raw.path}: keras-hub states epsilon and activation in the configuration only. Keep "
            "the preset's config.json beside the file, save the model as .keras, or name the preset "
            "with --arch, e.g. --arch efficientnet_b0_ra_imagenet."
        )
    config = config or {}
    refuse_unknown(raw.path, argument_problems(config, spec, request.accepted))
    stem = (config.get("include_stem_padding", True), config.get("stem_conv_padding", "valid"))
    if stem != (True, "valid"):
        raise ConversionError(
            f"{raw.path}: the stem pads otherwise (include_stem_padding={stem[0]}, "
            f"stem_conv_padding={stem[1]!r}) than the blocks, which pad symmetrically; refused."
        )
    default_activation = default_conventions(spec).activation
    stated = str(config.get("activation", default_activation))
    if stated not in _ACTIVATIONS:
        raise ConversionError(f"{raw.path}: activation {stated!r} is none of {list(_ACTIVATIONS)}.")
    conventions = dataclasses.replace(
        default_conventions(spec),
        padding="symmetric",
        bn_epsilon=float(config.get("batch_norm_epsilon", 1e-5)),
        bn_momentum=float(config.get("batch_norm_momentum", 0.9)),
        activation=_ACTIVATIONS[stated],
        preprocessing=scaling,
    )
    where = "the backbone's configuration" if config else f"--arch {request.arch}"
    sources = dict.fromkeys(("bn_epsilon", "bn_momentum", "activation"), where)
    sources |= {"padding": "all V1 blocks of this library", "preprocessing": source}
    return Resolved(conventions, sources, {"preset": preset})


def _preset_name(request: Request) -> str | None:
    """Return `--arch` if it is the name of a keras-hub preset: "efficientnet_b0_ra_imagenet"."""
    name = request.arch or ""
    is_preset = name.startswith("efficientnet_") and name.endswith("imagenet")
    return name if is_preset else None


def _scaling(raw: RawCheckpoint, request: Request) -> tuple[Preprocessing, str]:
    """Return the scaling of the stored image converter, else of the named preset."""
    configs = [raw.metadata.get("model_config"), *_preset(raw.path)]
    converter = find_config(configs, "ImageConverter")
    if converter is not None and converter.get("scale") is not None:
        scale = np.broadcast_to(np.asarray(converter["scale"], np.float64).reshape(-1), 3)
        offset = converter.get("offset")
        shift = np.broadcast_to(np.asarray(0.0 if offset is None else offset).reshape(-1), 3)
        scaling = Preprocessing(tuple(-shift / scale), tuple(1 / scale))
        return scaling, "image converter of the preset or archive"
    preset = _preset_name(request)
    if preset is None:
        raise AmbiguousCheckpointError(
            f"{raw.path}: no image converter says how pixels are scaled. Keep the preset's "
            "preprocessor.json beside the file, or name the preset with --arch, e.g. --arch "
            "efficientnet_b0_ra_imagenet."
        )
    # timm's 2024 "ra4" trainings use 0.5 / 0.5; all other presets ImageNet's mean and deviation.
    name = "inception" if "_ra4_" in preset else "imagenet"
    return PREPROCESSINGS[name], f"--arch preset {preset}: {name}"


DIALECT = Dialect(
    name="keras_hub",
    title="keras-hub",
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
