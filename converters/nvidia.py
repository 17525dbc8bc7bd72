"""NVIDIA DeepLearningExamples (PyTorch): B0 to B7, and widese with wider squeeze-and-excite.

Hosted files call the stages `layer1`, present code `layers.0`. Squeeze-and-excite is
stored as dense layers, or as convolutions in files meant for TensorRT.
"""

import dataclasses
import re

from efn_compose.arch import ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import (
    TORCH_CONTAINERS,
    Dialect,
    Prepared,
    Request,
    Resolved,
)
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE, TorchNames

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


_PARTS = {
    "expand_conv": "expand.conv",
    "expand_bn": "expand.bn",
    "depthwise_conv": "depsep.conv",
    "depthwise_bn": "depsep.bn",
    "se_reduce": "se.squeeze",
    "se_expand": "se.expand",
    "project_conv": "proj.conv",
    "project_bn": "proj.bn",
}

_NAMES = TorchNames(
    ends={
        "stem_conv": "stem.conv",
        "stem_bn": "stem.bn",
        "top_conv": "features.conv",
        "top_bn": "features.bn",
        "predictions": "classifier.fc",
    },
    part_name=lambda place, part: (
        f"layers.{place.stage - 1}.block{place.repeat - 1}.{_PARTS[part]}"
    ),
)


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
    spec_from=_NAMES.spec_from,
    rows=_NAMES.rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
