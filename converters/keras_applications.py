"""`keras.applications` and `tf_keras.applications`, V1 and V2, in every container they save to.

V1 begins with a `Normalization` layer whose three weights carry the input
scaling, in one of three states: variance = std squared (as the layer means it),
variance = std (the hosted ImageNet files, which the library corrects by one more
`Rescaling` that is no part of the file), or mean 0 and variance 1 (never set).
V2 keeps its scaling in the configuration only.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from efn_compose.arch import (
    FAMILIES,
    PREPROCESSINGS,
    ArchSpec,
    Conventions,
    Preprocessing,
    default_conventions,
)
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import BlockPlace, PartName
from efn_compose.checkpoints.dialects.dialect import (
    KERAS_CONTAINERS,
    Dialect,
    IgnoreRule,
    Prepared,
    Request,
    Resolved,
    Row,
)
from efn_compose.checkpoints.dialects.keras.keras_backbones import (
    backbone_config,
    has_composite_blocks,
)
from efn_compose.checkpoints.dialects.keras.keras_config import (
    config_activation,
    config_epsilon,
    config_layers,
    config_momentum,
)
from efn_compose.checkpoints.dialects.keras.keras_head import adopt_head, backbone_layers
from efn_compose.checkpoints.dialects.keras.keras_names import (
    keras_rows,
    output_channels,
    spec_from_blocks,
)
from efn_compose.checkpoints.dialects.keras.keras_order import (
    is_numbered,
    name_by_order,
    starts_depthwise,
)
from efn_compose.checkpoints.dialects.keras.keras_scaling import (
    config_preprocessing,
    normalization_layers,
    normalization_weights,
)
from efn_compose.checkpoints.dialects.spec_reading import requested_spec
from efn_compose.errors import AmbiguousCheckpointError

#: Variance that the hosted V1 files store: the standard deviation itself.
HOSTED_VARIANCE = (0.229, 0.224, 0.225)
_OWN_LAYERS = r"stem_.*|top_.*|block\d+._.*|normalization(_\d+)?|predictions|seed_generator.*"
_BLOCK = re.compile(r"^block(\d+)(.)_")
ENDS = {layer: layer for layer in ("stem_conv", "stem_bn", "top_conv", "top_bn", "predictions")}
_V1_PARTS = {"depthwise_conv": "dwconv", "depthwise_bn": "bn"}
_V2_PARTS = {"depthwise_conv": "dwconv2", "depthwise_bn": "bn"}
#: Bases that its functions build at any coefficients, and the names by which they look up V2's
#: stage tables.
SCALED_NAMES = {
    "b": "efficientnetb0",
    "v2-b": "efficientnetv2-b0",
    "v2-s": "efficientnetv2-s",
    "v2-m": "efficientnetv2-m",
    "v2-l": "efficientnetv2-l",
}
IGNORE = (
    IgnoreRule(
        r"normalization(_\d+)?/(mean|variance|count)",
        "input scaling; kept as the conventions' preprocessing",
    ),
    IgnoreRule(r"seed_generator.*", "state of a dropout layer's random numbers"),
)


def part_name_v1(place: BlockPlace, part: str) -> str:
    """Return the V1 layer of a part of a block: "block2a_dwconv"."""
    return f"block{place.stage}{chr(96 + place.repeat)}_{_V1_PARTS.get(part, part)}"


def part_name_v2(place: BlockPlace, part: str) -> str:
    """Return the V2 layer of a part of a block: "block4a_dwconv2"."""
    return f"block{place.stage}{chr(96 + place.repeat)}_{_V2_PARTS.get(part, part)}"


def is_v2(spec: ArchSpec) -> bool:
    """Return whether a network is one of `keras.applications.efficientnet_v2`."""
    return spec.family in ("v2", "v2-b")


def block_places(raw: RawCheckpoint) -> list[tuple[int, int]]:
    """Return (stage, repeat) of every block in a checkpoint that letters its repeats."""
    found = {(int(m[1]), ord(m[2]) - 96) for m in map(_BLOCK.match, raw.tensors) if m}
    return sorted(found)


def _recognise(raw: RawCheckpoint) -> bool:
    if backbone_config(raw.metadata.get("model_config")) is not None or has_composite_blocks(raw):
        return False
    has_scaling = normalization_weights(raw) is not None
    if "stem_conv/kernel" in raw.tensors and "block1a_project_conv/kernel" in raw.tensors:
        return has_scaling or any("_dwconv2/" in name for name in raw.tensors)
    if raw.container != "keras-weights" or not is_numbered(raw):
        return False
    # Numbered V1 without Normalization is qubvel's.
    return has_scaling or not starts_depthwise(raw)


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    if is_numbered(raw) and "stem_conv/kernel" not in raw.tensors:
        part_name = part_name_v1 if starts_depthwise(raw) else part_name_v2
        raw = name_by_order(raw, request, ENDS, part_name).raw
    features = output_channels(raw, "top_conv")
    return adopt_head(raw, config_layers(raw), _OWN_LAYERS, "predictions", features)


def _spec(raw: RawCheckpoint, request: Request) -> ArchSpec:
    has_dwconv2 = any("_dwconv2/" in name for name in raw.tensors)
    return lettered_spec(raw, part_name_v2 if has_dwconv2 else part_name_v1)


def lettered_spec(raw: RawCheckpoint, part_name: PartName) -> ArchSpec:
    """Return the network of a checkpoint that names its blocks "block2a_...".

    Args:
        raw: The checkpoint.
        part_name: Layer of a part of a block.
    """
    places = block_places(raw)
    return spec_from_blocks(raw, places, part_name, "top_conv")


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    return keras_rows(spec, classes, raw, ENDS, part_name_v2 if is_v2(spec) else part_name_v1)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    scaling, source = _scaling(raw, spec, request)
    return resolve_from_config(raw, spec, scaling, source)


def resolve_from_config(
    raw: RawCheckpoint, spec: ArchSpec, scaling: Preprocessing, source: str
) -> Resolved:
    """Return conventions whose epsilon, momentum and activation the configuration may state.

    Args:
        raw: The checkpoint.
        spec: Its network.
        scaling: The input scaling.
        source: Where the scaling is known from.
    """
    layers, where = backbone_layers(config_layers(raw)), str(raw.path)
    default = default_conventions(spec)
    stated: dict[str, Any] = {
        "bn_epsilon": config_epsilon(layers, where),
        "activation": config_activation(layers, where),
        "bn_momentum": config_momentum(layers),
    }
    fields = {name: value for name, value in stated.items() if value is not None}
    sources = {
        name: "the file's configuration" if name in fields else "all models of this library"
        for name in ("padding", *stated)
    }
    sources["padding"] = "all models of this library"
    conventions: Conventions = dataclasses.replace(default, preprocessing=scaling, **fields)
    return Resolved(conventions, {**sources, "preprocessing": source})


def _scaling(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> tuple[Preprocessing, str]:
    layers = config_layers(raw)
    is_named = requested_spec(request) is not None
    has_stem = any(layer.name == "stem_conv" for layer in layers)
    if has_stem and not is_named:
        found = config_preprocessing(raw, layers, "stem_conv")
        if found is None:
            raise AmbiguousCheckpointError(
                f"{raw.path}: the model was made with include_preprocessing=False, so the caller "
                "scaled the pixels, and the file does not say how. Name the network, e.g. --arch "
                f"{spec.variant}, to accept the usual scaling of its weights "
                f"({FAMILIES[spec.family].preprocessing if spec.family in FAMILIES else '?'})."
            )
        return found, "layers before the stem in the file's configuration"
    if is_v2(spec):
        if not is_named:
            _question_v2(raw, spec)
        name = FAMILIES[spec.family].preprocessing
        return PREPROCESSINGS[name], f"keras.applications' default for {spec.family!r}: {name}"
    weights = normalization_weights(raw)
    if not has_stem:
        _question_several(raw)
    if weights is None:
        return PREPROCESSINGS["imagenet"], "keras.applications' V1 ImageNet files"
    mean, variance = weights
    is_hosted = np.allclose(variance, HOSTED_VARIANCE, atol=1e-3)
    steps = None if is_named else _scaling_steps(raw)
    _question_steps(raw, spec, steps, is_hosted)
    # An older weights file of the uncorrected model has the very lists of the hosted file itself.
    if is_hosted and steps == (1, 0) and "layer_classes" in raw.metadata:
        deviation = np.sqrt(variance)
        source = (
            "normalization layer; the ImageNet file was loaded by path, so the model divides by "
            "the root of the standard deviation: inputs 2.1 times too small, which only training "
            "can have mended (--arch b0 restores the usual scaling)"
        )
    elif is_hosted:
        deviation = variance
        source = (
            "normalization layer, whose variance holds the standard deviation as in the hosted "
            "ImageNet files (the library divides once more)"
        )
    else:
        deviation = np.sqrt(variance)
        source = "normalization layer (mean and variance)"
        if not mean.any() and (variance == 1).all():
            source = (
                "normalization layer, never adapted (mean 0, variance 1): the network sees "
                "pixels / 255"
            )
    return Preprocessing(tuple(mean * 255), tuple(deviation * 255)), source


def _scaling_steps(raw: RawCheckpoint) -> tuple[int, int] | None:
    """Return how many `Rescaling` layers and how many operations a file lists, None without a list.

    Keras 3 corrects the hosted ImageNet file by one more `Rescaling`, tf_keras by a multiplication,
    which the file lists as an operation.
    """
    classes = _listed_classes(raw)
    if not classes:
        return None
    operations = sum(classes.get(name, 0) for name in ("tf_op_lambda", "tfop_lambda", "lambda"))
    return classes.get("rescaling", 0), operations


def _listed_classes(raw: RawCheckpoint) -> dict[str, int]:
    """Return how many layers of each class a file lists, by class in snake case; {} without a list.

    Older weight files list layers by name, and Keras' own names are the classes' with a number.
    """
    classes = raw.metadata.get("layer_classes")
    names = raw.metadata.get("layer_names") or ()
    # Files that other programs write list layers with weights alone.
    if classes or "stem_activation" not in names:
        return dict(classes or {})
    counts: dict[str, int] = {}
    for name in names:
        key = "tf_op_lambda" if name.startswith("tf.") else re.sub(r"_\d+$", "", name)
        counts[key] = counts.get(key, 0) + 1
    return counts


#: (rescalings, operations) that go with variances as they are, and with those of the hosted file.
_PLAIN_STEPS, _HOSTED_STEPS = ((1, 0),), ((1, 0), (2, 0), (1, 1))


def _question_steps(
    raw: RawCheckpoint, spec: ArchSpec, steps: tuple[int, int] | None, is_hosted: bool
) -> None:
    """Raise where a file lists other scaling layers than go with its Normalization layer."""
    if steps is None or steps in (_HOSTED_STEPS if is_hosted else _PLAIN_STEPS):
        return
    raise AmbiguousCheckpointError(
        f"{raw.path}: the file lists {steps[0]} Rescaling layers and {steps[1]} operations, which do "
        "not go with its Normalization layer, and does not say what they compute. Save the model as "
        f".keras, which does, or name the network, e.g. --arch {spec.variant}, to accept the usual "
        "scaling of its weights."
    )


#: Layers that scale the input of V2 networks that were made with `include_preprocessing`, by family.
_V2_STEPS = {"v2-b": {"rescaling": 1, "normalization": 1}, "v2": {"rescaling": 1}}


def _question_v2(raw: RawCheckpoint, spec: ArchSpec) -> None:
    """Raise where a file lists other scaling layers than the library's V2 networks begin with."""
    classes = _listed_classes(raw)
    found = {name: classes[name] for name in ("rescaling", "normalization") if name in classes}
    if not classes or found == _V2_STEPS[spec.family]:
        return
    what = (
        f"the file lists {' and '.join(f'{count} {name}' for name, count in found.items())} layers, "
        "other ones than the library puts before such a network"
        if found
        else "the model was made with include_preprocessing=False, so the caller scaled the pixels"
    )
    raise AmbiguousCheckpointError(
        f"{raw.path}: {what}, and the file does not say how. Name the network, e.g. --arch "
        f"{spec.variant}, to accept the usual scaling of its weights "
        f"({FAMILIES[spec.family].preprocessing})."
    )


def _question_several(raw: RawCheckpoint) -> None:
    """Raise where there are several Normalization layers, and nothing says what each of them does."""
    layers = normalization_layers(raw)
    count = max(len(layers), _listed_classes(raw).get("normalization", 0))
    if count > 1:
        raise AmbiguousCheckpointError(
            f"{raw.path}: the file lists {count} Normalization layers, {len(layers)} of them with "
            f"weights ({', '.join(layers)}), and does not say how they follow each other. Save the "
            "model as .keras, which does, or the backbone alone."
        )


DIALECT = Dialect(
    name="keras_applications",
    title="keras.applications and tf_keras.applications",
    licence="Apache-2.0",
    containers=KERAS_CONTAINERS | {"tf-checkpoint", "tf-saved-model"},
    recognise=_recognise,
    prepare=_prepare,
    spec_from=_spec,
    rows=_rows,
    resolve=_resolve,
    ignore=IGNORE,
)
