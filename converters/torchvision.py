"""torchvision: V1 B0 to B7, V2 S, M, L, and MnasNet-B1 (`torchvision_mnasnet.py`).

Every part of a block is a numbered child of `block`, so numbers shift where a part
is missing. Padding is symmetric throughout, even for B5 to B7, whose weights were
trained with TensorFlow's; epsilon is 1e-5 for B0 to B4 and MnasNet and 1e-3 for the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from converters.torchvision_mnasnet import MNASNET_NAMES
from efn_compose.arch import VARIANTS, ArchSpec
from efn_compose.arch.conventions import Activation
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import BlockPlace
from efn_compose.checkpoints.dialects.dialect import (
    TORCH_CONTAINERS,
    Dialect,
    Request,
    Resolved,
    Row,
)
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE, TorchNames
from efn_compose.errors import AmbiguousCheckpointError, ConversionError


@dataclass(frozen=True)
class TorchvisionModel:
    """How torchvision builds and runs one of its models.

    Args:
        name: Its name in `torchvision.models`.
        bn_epsilon: Its epsilon.
        activation: Its activation.
        preprocessing: Name of the input scaling of its published weights.
        bn_momentum: Share of the old moving statistics that a step keeps.
    """

    name: str
    bn_epsilon: float
    activation: Activation = "swish"
    preprocessing: str = "imagenet"
    bn_momentum: float = 0.9


def _mnasnet(name: str) -> TorchvisionModel:
    return TorchvisionModel(name, 1e-5, "relu", bn_momentum=0.9997)


#: Its models by variant.
MODELS: dict[str, TorchvisionModel] = {
    **{f"b{number}": TorchvisionModel(f"efficientnet_b{number}", 1e-5) for number in range(5)},
    **{
        f"b{number}": TorchvisionModel(f"efficientnet_b{number}", 1e-3, bn_momentum=0.99)
        for number in range(5, 8)
    },
    "v2-s": TorchvisionModel("efficientnet_v2_s", 1e-3),
    "v2-m": TorchvisionModel("efficientnet_v2_m", 1e-3),
    "v2-l": TorchvisionModel("efficientnet_v2_l", 1e-3, preprocessing="inception"),
    "mnasnet-b1-w0.5-d1": _mnasnet("mnasnet0_5"),
    "mnasnet-b1-w0.75-d1": _mnasnet("mnasnet0_75"),
    "mnasnet-b1": _mnasnet("mnasnet1_0"),
    "mnasnet-b1-w1.3-d1": _mnasnet("mnasnet1_3"),
}
#: How it runs a family at any other width; V1's epsilon differs from model to model.
_ANY_WIDTH = {"mnasnet-b1": _mnasnet("MNASNet")}


def torchvision_model(spec: ArchSpec) -> TorchvisionModel | None:
    """Return how torchvision runs a network, None where it has no such network or it depends.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> torchvision_model(arch_spec("b5")).bn_epsilon
        0.001
    """
    return MODELS.get(spec.variant) or _ANY_WIDTH.get(spec.family)


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


_EFFICIENTNET_NAMES = TorchNames(
    ends={
        "stem_conv": "features.0.0",
        "stem_bn": "features.0.1",
        "top_conv": "features.{last}.0",
        "top_bn": "features.{last}.1",
        "predictions": "classifier.1",
    },
    part_name=_part_name,
)


def _names_in(raw: RawCheckpoint) -> TorchNames | None:
    """Return the names that a checkpoint uses, None for those of another library."""
    found = set(raw.tensors)
    # MobileNetV3 has features.1.block.0.0 and V2 features.1.conv.0.0: one number fewer.
    if {"features.0.0.weight", "features.1.0.block.0.0.weight"} <= found:
        return _EFFICIENTNET_NAMES
    if {"layers.0.weight", "layers.8.0.layers.0.weight", "classifier.1.weight"} <= found:
        return MNASNET_NAMES
    return None


def _spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    return (_names_in(raw) or _EFFICIENTNET_NAMES).spec_from(raw, request)


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    names = MNASNET_NAMES if spec.family in _ANY_WIDTH else _EFFICIENTNET_NAMES
    return names.rows(spec, classes, raw)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    wanted = (request.arch or "").lower()
    named = next((variant for variant, model in MODELS.items() if model.name == wanted), None)
    if named and spec.variant in VARIANTS and named != spec.variant:
        raise ConversionError(
            f"{raw.path}: --arch {request.arch} is {named}, but the tensors are of {spec.variant}."
        )
    model = MODELS[named] if named else torchvision_model(spec)
    if model is None:
        raise AmbiguousCheckpointError(
            f"{raw.path}: torchvision has no {spec.variant}, and its epsilon differs by model. "
            "Candidates: --arch efficientnet_b0 (1e-5, as B0 to B4), --arch efficientnet_b5 (1e-3, as "
            "B5 to B7), --arch efficientnet_v2_s (1e-3)."
        )
    return resolved(
        padding="symmetric",
        bn_epsilon=model.bn_epsilon,
        activation=model.activation,
        preprocessing=model.preprocessing,
        bn_momentum=model.bn_momentum,
        source=f"torchvision's {model.name}"
        + (" (--arch)" if named else " (shapes of the tensors)"),
        sources={"preprocessing": f"torchvision's published weights of {model.name}"},
        provenance={"licence": "BSD-3-Clause"},
    )


DIALECT = Dialect(
    name="torchvision",
    title="torchvision",
    licence="BSD-3-Clause",
    containers=TORCH_CONTAINERS,
    recognise=lambda raw: _names_in(raw) is not None,
    spec_from=_spec_from,
    rows=_rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
