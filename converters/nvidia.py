"""NVIDIA DeepLearningExamples (PyTorch): B0 to B7, and widese with wider squeeze-and-excite.

Hosted files call the stages `layer1`, present code `layers.0`. Squeeze-and-excite is
stored as dense layers, or as convolutions in files meant for TensorRT.
"""

import dataclasses
import re
from collections.abc import Iterator

from efn_compose.arch import HEAD_LAYER, ArchSpec
from efn_compose.checkpoints.dialect import (
    TORCH_CONTAINERS,
    Dialect,
    Prepared,
    Request,
    Resolved,
    Row,
)
from efn_compose.checkpoints.family_conventions import resolved
from efn_compose.checkpoints.raw import RawCheckpoint
from efn_compose.checkpoints.spec_reading import BlockShape, name_spec, spec_from_stages
from efn_compose.checkpoints.torch_names import (
    TORCH_IGNORE,
    batch_norm,
    biased_conv,
    conv,
    dense,
    depthwise,
    shape_of,
)

_HOSTED = re.compile(r"layer(\d+)\.(block\d+\..*)")


def _recognise(raw: RawCheckpoint) -> bool:
    names = set(raw.tensors)
    return "stem.conv.weight" in names and bool(
        {"layers.0.block0.depsep.conv.weight", "layer1.block0.depsep.conv.weight"} & names
    )


def _refuse(raw: RawCheckpoint) -> str | None:
    if any(name.endswith("._amax") for name in raw.tensors):
        return "a quantised model (its quantisers hold _amax); convert the float checkpoint"
    return None


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    """Rename the stages of hosted files."""
    if "layer1.block0.depsep.conv.weight" not in raw.tensors:
        return Prepared(raw)
    renamed = {}
    for name, tensor in raw.tensors.items():
        match = _HOSTED.fullmatch(name)
        new = f"layers.{int(match[1]) - 1}.{match[2]}" if match else name
        renamed[new] = dataclasses.replace(tensor, name=new)
    note = "stages renamed from layer1... to layers.0..."
    return Prepared(dataclasses.replace(raw, tensors=renamed, notes=(*raw.notes, note)))


def spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    """Return the network, widths read from the tensors."""
    stages: list[list[BlockShape]] = []
    while True:
        stage: list[BlockShape] = []
        while True:
            prefix = f"layers.{len(stages)}.block{len(stage)}"
            dw = shape_of(raw, f"{prefix}.depsep.conv.weight")
            project = shape_of(raw, f"{prefix}.proj.conv.weight")
            if dw is None or project is None:
                break
            expand = shape_of(raw, f"{prefix}.expand.conv.weight")
            squeeze = shape_of(raw, f"{prefix}.se.squeeze.weight")
            width = expand[1] if expand else dw[0]
            se_channels = squeeze[0] if squeeze else 0
            has_expand = expand is not None
            stage.append(
                BlockShape("mbconv", dw[-1], width, dw[0], project[0], se_channels, has_expand)
            )
        if not stage:
            break
        stages.append(stage)
    top = shape_of(raw, "features.conv.weight")
    stem = raw.tensors["stem.conv.weight"].shape[0]
    return name_spec(spec_from_stages(stem, stages, top[0] if top else 0, where=str(raw.path)))


def rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    """Yield the name table."""
    yield from conv("stem.conv", "stem_conv")
    yield from batch_norm("stem.bn", "stem_bn")
    for block in spec.blocks:
        foreign, layer = f"layers.{block.stage - 1}.block{block.repeat - 1}", block.name
        parts = {"expand": conv, "depsep": depthwise, "proj": conv}
        for part, table in parts.items():
            if part == "expand" and not block.has_expand:
                continue
            ours = {"depsep": "depthwise", "proj": "project"}.get(part, part)
            yield from table(f"{foreign}.{part}.conv", f"{layer}_{ours}_conv")
            yield from batch_norm(f"{foreign}.{part}.bn", f"{layer}_{ours}_bn")
        if block.se_channels:
            squeeze = raw and shape_of(raw, f"{foreign}.se.squeeze.weight")
            layout = "torch_dense_as_conv" if squeeze and len(squeeze) == 2 else "torch_conv"
            yield from biased_conv(f"{foreign}.se.squeeze", f"{layer}_se_reduce", layout)
            yield from biased_conv(f"{foreign}.se.expand", f"{layer}_se_expand", layout)
    if spec.top_channels:
        yield from conv("features.conv", "top_conv")
        yield from batch_norm("features.bn", "top_bn")
    if classes is not None:
        yield from dense("classifier.fc", HEAD_LAYER)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    return resolved(
        padding="symmetric",
        bn_epsilon=1e-3,
        activation="swish",
        preprocessing="imagenet",
        source="all files of NVIDIA DeepLearningExamples",
    )


DIALECT = Dialect(
    name="nvidia",
    title="NVIDIA DeepLearningExamples",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=_recognise,
    refuse=_refuse,
    prepare=_prepare,
    spec_from=spec_from,
    rows=rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
