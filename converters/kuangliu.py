"""kuangliu/pytorch-cifar: B0 for 32-pixel images, stem stride 1, no last 1x1 convolution.

Blocks without expansion still hold an expand convolution, which the forward pass
never uses; it is left out and counted.
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
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE, TorchNames, shape_of

_EXPAND = re.compile(r"(layers\.\d+)\.(conv1|bn1)\..*")


def _recognise(raw: RawCheckpoint) -> bool:
    return {"conv1.weight", "layers.0.conv1.weight", "layers.0.se.se1.weight"} <= set(raw.tensors)


def _is_unused(raw: RawCheckpoint, block: str) -> bool:
    """Return whether a block's expansion ratio is 1: its expand convolution is square and skipped."""
    shape = shape_of(raw, f"{block}.conv1.weight")
    return shape is not None and shape[0] == shape[1]


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    """Leave out the expand convolutions that the forward pass skips."""
    reason = "expand convolution of a ratio-1 block, never used by its forward pass"
    unused = [
        name
        for name in raw.tensors
        if (match := _EXPAND.fullmatch(name)) and _is_unused(raw, match[1])
    ]
    kept = {name: tensor for name, tensor in raw.tensors.items() if name not in set(unused)}
    return Prepared(
        dataclasses.replace(raw, tensors=kept), ignored=tuple((name, reason) for name in unused)
    )


_PARTS = {
    "expand_conv": "conv1",
    "expand_bn": "bn1",
    "depthwise_conv": "conv2",
    "depthwise_bn": "bn2",
    "se_reduce": "se.se1",
    "se_expand": "se.se2",
    "project_conv": "conv3",
    "project_bn": "bn3",
}

_NAMES = TorchNames(
    ends={"stem_conv": "conv1", "stem_bn": "bn1", "predictions": "linear"},
    part_name=lambda place, part: f"layers.{place.index}.{_PARTS[part]}",
    has_stages=False,
    stem_stride=1,
)


def _spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    spec = _NAMES.spec_from(raw, request)
    return dataclasses.replace(spec, variant="b0-cifar", family="b", resolution=32)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    return resolved(
        padding="symmetric",
        bn_epsilon=1e-5,
        activation="swish",
        preprocessing="cifar",
        bn_momentum=0.9,
        source="the only EfficientNet of pytorch-cifar",
    )


DIALECT = Dialect(
    name="kuangliu",
    title="kuangliu/pytorch-cifar",
    licence="MIT",
    containers=TORCH_CONTAINERS,
    recognise=_recognise,
    prepare=_prepare,
    spec_from=_spec_from,
    rows=_NAMES.rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
