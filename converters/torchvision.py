"""torchvision: V1 B0 to B7 and V2 S, M, L.

Every part of a block is a numbered child of `block`, so numbers shift where a part
is missing. Padding is symmetric throughout, even for B5 to B7, whose weights were
trained with TensorFlow's; epsilon is 1e-5 for B0 to B4 and 1e-3 for the others.
"""

import re
from collections.abc import Iterator

from efn_compose.arch import HEAD_LAYER, VARIANTS, ArchSpec, BlockSpec
from efn_compose.checkpoints.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved, Row
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
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

_MODEL = re.compile(r"^efficientnet_(?:(b[0-7])|v2_([sml]))$")


def _recognise(raw: RawCheckpoint) -> bool:
    # MobileNetV3 has features.1.block.0.0 and V2 features.1.conv.0.0: one number fewer.
    return {"features.0.0.weight", "features.1.0.block.0.0.weight"} <= set(raw.tensors)


def _block_shape(raw: RawCheckpoint, prefix: str) -> BlockShape | None:
    parts: list[tuple[str, tuple[int, ...]]] = []
    squeeze = 0
    while len(parts) < 5:
        index = len(parts)
        shape = shape_of(raw, f"{prefix}.block.{index}.0.weight")
        reduced = shape_of(raw, f"{prefix}.block.{index}.fc1.weight")
        if reduced is not None:
            squeeze = reduced[0]
            parts.append(("se", reduced))
        elif shape is not None:
            parts.append(("conv", shape))
        else:
            break
    convs = [shape for kind, shape in parts if kind == "conv"]
    if not convs:
        return None
    if squeeze or len(convs) == 3:
        has_expand = len(convs) == 3
        dw, project = convs[-2:]
        width = convs[0][1] if has_expand else dw[0]
        return BlockShape("mbconv", dw[-1], width, dw[0], project[0], squeeze, has_expand)
    first = convs[0]
    if len(convs) == 2:
        return BlockShape("fused", first[-1], first[1], first[0], convs[1][0], 0, True)
    return BlockShape("fused", first[-1], first[1], first[1], first[0], 0, False)


def spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    """Return the network, widths read from the tensors."""
    stages: list[list[BlockShape]] = []
    while len(stages) < 32:
        stage: list[BlockShape] = []
        while block := _block_shape(raw, f"features.{len(stages) + 1}.{len(stage)}"):
            stage.append(block)
        if not stage:
            break
        stages.append(stage)
    top = shape_of(raw, f"features.{len(stages) + 1}.0.weight")
    stem = raw.tensors["features.0.0.weight"].shape[0]
    return name_spec(spec_from_stages(stem, stages, top[0] if top else 0, where=str(raw.path)))


def _block_rows(block: BlockSpec) -> Iterator[Row]:
    foreign, layer = f"features.{block.stage}.{block.repeat - 1}.block", block.name
    parts = iter(range(4))

    def conv_norm(table, part: str) -> Iterator[Row]:
        number = next(parts)
        yield from table(f"{foreign}.{number}.0", f"{layer}_{part}_conv")
        yield from batch_norm(f"{foreign}.{number}.1", f"{layer}_{part}_bn")

    if block.has_expand:
        yield from conv_norm(conv, "expand")
    if block.kind == "mbconv":
        yield from conv_norm(depthwise, "depthwise")
    if block.se_channels:
        number = next(parts)
        yield from biased_conv(f"{foreign}.{number}.fc1", f"{layer}_se_reduce")
        yield from biased_conv(f"{foreign}.{number}.fc2", f"{layer}_se_expand")
    yield from conv_norm(conv, "project")


def rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    """Yield the name table."""
    yield from conv("features.0.0", "stem_conv")
    yield from batch_norm("features.0.1", "stem_bn")
    for block in spec.blocks:
        yield from _block_rows(block)
    if spec.top_channels:
        last = f"features.{spec.stage_count + 1}"
        yield from conv(f"{last}.0", "top_conv")
        yield from batch_norm(f"{last}.1", "top_bn")
    if classes is not None:
        yield from dense("classifier.1", HEAD_LAYER)


def torchvision_epsilon(variant: str) -> float | None:
    """Return the epsilon that torchvision builds a variant with, or None where it has none."""
    if variant in ("b5", "b6", "b7", "v2-s", "v2-m", "v2-l"):
        return 1e-3
    return 1e-5 if variant in ("b0", "b1", "b2", "b3", "b4") else None


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    match = _MODEL.match((request.arch or "").lower())
    named = None if match is None else (match[1] or f"v2-{match[2]}")
    if named and spec.variant in VARIANTS and named != spec.variant:
        raise ConversionError(
            f"{raw.path}: --arch {request.arch} is {named}, but the tensors are of {spec.variant}."
        )
    variant = named or spec.variant
    epsilon = torchvision_epsilon(variant)
    if epsilon is None:
        raise AmbiguousCheckpointError(
            f"{raw.path}: torchvision has no {spec.variant}, and its epsilon differs by model. "
            "Candidates: --arch efficientnet_b0 (1e-5, as B0 to B4), --arch efficientnet_b5 (1e-3, as "
            "B5 to B7), --arch efficientnet_v2_s (1e-3)."
        )
    is_large = variant == "v2-l"
    return resolved(
        padding="symmetric",
        bn_epsilon=epsilon,
        activation="swish",
        preprocessing="inception" if is_large else "imagenet",
        bn_momentum=0.99 if variant in ("b5", "b6", "b7") else 0.9,
        source=f"torchvision's {variant}" + (" (--arch)" if named else " (shapes of the tensors)"),
        sources={"preprocessing": f"torchvision's published weights of {variant}"},
        provenance={"licence": "BSD-3-Clause"},
    )


DIALECT = Dialect(
    name="torchvision",
    title="torchvision",
    licence="BSD-3-Clause",
    containers=TORCH_CONTAINERS,
    recognise=_recognise,
    spec_from=spec_from,
    rows=rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
