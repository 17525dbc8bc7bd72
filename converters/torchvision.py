"""torchvision: V1 B0 to B7 and V2 S, M, L.

Every part of a block is a numbered child of `block`, so numbers shift where a part
is missing. Padding is symmetric throughout, even for B5 to B7, whose weights were
trained with TensorFlow's; epsilon is 1e-5 for B0 to B4 and 1e-3 for the others.
"""

import re

from efn_compose.arch import VARIANTS, ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import BlockPlace
from efn_compose.checkpoints.dialects.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.torch_names import TORCH_IGNORE, TorchNames
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

_MODEL = re.compile(r"^efficientnet_(?:(b[0-7])|v2_([sml]))$")


def _recognise(raw: RawCheckpoint) -> bool:
    # MobileNetV3 has features.1.block.0.0 and V2 features.1.conv.0.0: one number fewer.
    return {"features.0.0.weight", "features.1.0.block.0.0.weight"} <= set(raw.tensors)


def _part_name(place: BlockPlace, part: str) -> str:
    """Return a part's module: children of `block`, numbered from the first that it has."""
    children = ["expand"] if place.has_expand else []
    # Every inverted residual has squeeze-and-excite here, no fused block has.
    children += ["depthwise", "se"] if place.kind == "mbconv" else []
    children += ["project"]
    child, _, kind = part.partition("_")
    number = children.index(child) if child in children else -1
    name = {"conv": "0", "bn": "1", "reduce": "fc1", "expand": "fc2"}[kind]
    return f"features.{place.stage}.{place.repeat - 1}.block.{number}.{name}"


_NAMES = TorchNames(
    ends={
        "stem_conv": "features.0.0",
        "stem_bn": "features.0.1",
        "top_conv": "features.{last}.0",
        "top_bn": "features.{last}.1",
        "predictions": "classifier.1",
    },
    part_name=_part_name,
)


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
    spec_from=_NAMES.spec_from,
    rows=_NAMES.rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
