"""The layer names of our own models, as a dialect like any other library's."""

import re
from collections.abc import Iterator

from efn_compose.arch import ArchSpec, default_conventions, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import BlockPlace
from efn_compose.checkpoints.dialects.dialect import Dialect, Request, Resolved, Row
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.keras.keras_config import (
    config_activation,
    config_epsilon,
    config_layers,
)
from efn_compose.checkpoints.dialects.keras.keras_names import spec_from_blocks

_BLOCK = re.compile(r"^stage(\d+)_block(\d+)_")


def _part_name(place: BlockPlace, part: str) -> str:
    return f"stage{place.stage}_block{place.repeat}_{part}"


def _recognise(raw: RawCheckpoint) -> bool:
    return "stage1_block1_project_conv/kernel" in raw.tensors


def _spec(raw: RawCheckpoint, request: Request) -> ArchSpec:
    places = sorted({(int(m[1]), int(m[2])) for m in map(_BLOCK.match, raw.tensors) if m})
    return spec_from_blocks(raw, places, _part_name, "top_conv")


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    for tensor in inventory(spec, classes):
        foreign = tensor.name
        if raw is not None and foreign not in raw.tensors:
            foreign = foreign.replace("/depthwise_kernel", "/kernel")
        yield Row(foreign, tensor.name)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    default, layers, where = default_conventions(spec), config_layers(raw), str(raw.path)
    is_padded = any(layer.name == "stem_conv_pad" for layer in layers)
    return resolved(
        padding="symmetric" if is_padded else "same",
        bn_epsilon=config_epsilon(layers, where) or default.bn_epsilon,
        activation=config_activation(layers, where) or default.activation,
        preprocessing=default.preprocessing,
        bn_momentum=default.bn_momentum,
        class_offset=0,
        source="the model's layers",
        provenance={},
    )


OWN_NAMES = Dialect(
    name="efn_compose",
    title="efn_compose",
    licence="as its source",
    containers=frozenset({"keras-zip"}),
    recognise=_recognise,
    spec_from=_spec,
    rows=_rows,
    resolve=_resolve,
)
