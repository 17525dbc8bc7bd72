"""kuangliu/pytorch-cifar: B0 for 32-pixel images, stem stride 1, no last 1x1 convolution.

Blocks without expansion still hold an expand convolution, which the forward pass
never uses; it is left out and counted.
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
from efn_compose.checkpoints.spec_reading import (
    BlockShape,
    name_spec,
    spec_from_stages,
    split_stages,
)
from efn_compose.checkpoints.torch_names import (
    TORCH_IGNORE,
    batch_norm,
    biased_conv,
    conv,
    dense,
    depthwise,
    shape_of,
)

_EXPAND = re.compile(r"(layers\.\d+)\.(conv1|bn1)\..*")


def _recognise(raw: RawCheckpoint) -> bool:
    return {"conv1.weight", "layers.0.conv1.weight", "layers.0.se.se1.weight"} <= set(raw.tensors)


def _is_unused(raw: RawCheckpoint, block: str) -> bool:
    """Whether a block's expansion ratio is 1: its expand convolution is square and skipped."""
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


def spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    """Return the network, widths read from the tensors."""
    blocks: list[BlockShape] = []
    while True:
        prefix = f"layers.{len(blocks)}"
        dw = shape_of(raw, f"{prefix}.conv2.weight")
        project = shape_of(raw, f"{prefix}.conv3.weight")
        squeeze = shape_of(raw, f"{prefix}.se.se1.weight")
        if dw is None or project is None:
            break
        expand = shape_of(raw, f"{prefix}.conv1.weight")
        width = expand[1] if expand else dw[0]
        has_expand = expand is not None
        se_channels = squeeze[0] if squeeze else 0
        blocks.append(
            BlockShape("mbconv", dw[-1], width, dw[0], project[0], se_channels, has_expand)
        )
    stages = split_stages(blocks, request, str(raw.path))
    stem = raw.tensors["conv1.weight"].shape[0]
    spec = spec_from_stages(stem, stages, 0, stem_stride=1, where=str(raw.path))
    return dataclasses.replace(name_spec(spec), variant="b0-cifar", family="b", resolution=32)


def rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    """Yield the name table."""
    yield from conv("conv1", "stem_conv")
    yield from batch_norm("bn1", "stem_bn")
    for index, block in enumerate(spec.blocks):
        foreign, layer = f"layers.{index}", block.name
        if block.has_expand:
            yield from conv(f"{foreign}.conv1", f"{layer}_expand_conv")
            yield from batch_norm(f"{foreign}.bn1", f"{layer}_expand_bn")
        yield from depthwise(f"{foreign}.conv2", f"{layer}_depthwise_conv")
        yield from batch_norm(f"{foreign}.bn2", f"{layer}_depthwise_bn")
        yield from biased_conv(f"{foreign}.se.se1", f"{layer}_se_reduce")
        yield from biased_conv(f"{foreign}.se.se2", f"{layer}_se_expand")
        yield from conv(f"{foreign}.conv3", f"{layer}_project_conv")
        yield from batch_norm(f"{foreign}.bn3", f"{layer}_project_bn")
    if classes is not None:
        yield from dense("linear", HEAD_LAYER)


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
    spec_from=spec_from,
    rows=rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
