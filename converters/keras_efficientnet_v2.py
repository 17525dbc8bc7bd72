"""leondgarse/keras_efficientnet_v2: V1, V2 and V2-T under names of its own.

The expansion is called "sortcut" (so spelled), the single convolution of a fused
block without expansion "fu". V2-T comes from timm and keeps its padding and
epsilon. Weights of V2-B0 to B3 trained on ImageNet-1k and those that began on
21k want different input scalings and look alike.
"""

import dataclasses
import re
from collections.abc import Iterator

from converters.keras_applications import resolve_from_config
from efn_compose.arch import PREPROCESSINGS, VARIANTS, ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import BlockPlace
from efn_compose.checkpoints.dialects.dialect import (
    KERAS_CONTAINERS,
    Dialect,
    IgnoreRule,
    Prepared,
    Request,
    Resolved,
    Row,
)
from efn_compose.checkpoints.dialects.keras.keras_config import config_layers
from efn_compose.checkpoints.dialects.keras.keras_head import adopt_head
from efn_compose.checkpoints.dialects.keras.keras_names import (
    keras_rows,
    output_channels,
    spec_from_blocks,
)
from efn_compose.checkpoints.dialects.keras.keras_scaling import config_preprocessing
from efn_compose.checkpoints.dialects.spec_reading import requested_spec
from efn_compose.errors import AmbiguousCheckpointError, describe_problems

_BLOCK = re.compile(r"^stack_(\d+)_block(\d+)_")
_OWN_LAYERS = r"stem_.*|post_.*|stack_\d+_block\d+_.*|predictions|normalization.*|seed_gen.*"
_ENDS = {
    "stem_conv": "stem_conv",
    "stem_bn": "stem_bn",
    "top_conv": "post_conv",
    "top_bn": "post_bn",
    "predictions": "predictions",
}
_PARTS = {
    "expand_conv": "sortcut_conv",
    "expand_bn": "sortcut_bn",
    "depthwise_conv": "MB_dw_",
    "depthwise_bn": "MB_dw_bn",
    "se_reduce": "se_1_conv",
    "se_expand": "se_2_conv",
    "project_conv": "MB_pw_conv",
    "project_bn": "MB_pw_bn",
}
#: Width of the last stage and the top of V2-T, which has timm's conventions.
_T_WIDTHS = (208, 1024)
IMAGENET_21K_CLASSES = 21843
#: Sets of weights by tag: input scaling of V2-B0 to B3.
TAGS = {"imagenet": "imagenet", "imagenet21k": "v2", "imagenet21k-ft1k": "v2"}


def _part_name(place: BlockPlace, part: str) -> str:
    block = f"stack_{place.stage - 1}_block{place.repeat - 1}"
    if place.kind == "fused" and not place.has_expand and part.startswith("project"):
        return f"{block}_fu_{part.removeprefix('project_')}"
    return f"{block}_{_PARTS[part]}"


def _recognise(raw: RawCheckpoint) -> bool:
    return "post_conv/kernel" in raw.tensors and any(
        name in raw.tensors
        for name in ("stack_0_block0_fu_conv/kernel", "stack_0_block0_MB_pw_conv/kernel")
    )


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    features = output_channels(raw, "post_conv")
    return adopt_head(raw, config_layers(raw), _OWN_LAYERS, "predictions", features)


def _spec(raw: RawCheckpoint, request: Request) -> ArchSpec:
    found = {(int(m[1]) + 1, int(m[2]) + 1) for m in map(_BLOCK.match, raw.tensors) if m}
    places = sorted(found)
    return spec_from_blocks(raw, places, _part_name, "post_conv")


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    return keras_rows(spec, classes, raw, _ENDS, _part_name)


def _tag(request: Request) -> str | None:
    """Return the tag of `--arch EfficientNetV2B0.imagenet21k-ft1k`."""
    tag = (request.arch or "").rpartition(".")[2].lower()
    return tag if tag in TAGS else None


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    layers = config_layers(raw)
    found = None
    if any(layer.name == "stem_conv" for layer in layers) and requested_spec(request) is None:
        found = config_preprocessing(raw, layers, "stem_conv")
    if found is not None:
        scaling, source = found, "layers before the stem in the file's configuration"
    else:
        name, source = _usual_scaling(raw, spec, request)
        scaling = PREPROCESSINGS[name]
    is_torch = (spec.stage_channels[-1], spec.top_channels) == _T_WIDTHS
    if any(layer.class_name == "ZeroPadding2D" and layer.name == "stem_pad" for layer in layers):
        is_torch = True
    resolved = resolve_from_config(raw, spec, scaling, source)
    if not is_torch:
        return resolved
    conventions = dataclasses.replace(
        resolved.conventions, padding="symmetric", bn_epsilon=1e-5, bn_momentum=0.9
    )
    sources = dict.fromkeys(("padding", "bn_epsilon", "bn_momentum"), "V2-T, ported from timm")
    return dataclasses.replace(
        resolved, conventions=conventions, sources={**resolved.sources, **sources}
    )


def _usual_scaling(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> tuple[str, str]:
    tag = _tag(request)
    if output_channels(raw, "predictions") == IMAGENET_21K_CLASSES:
        return "v2", "21,843 classes: trained on ImageNet-21k"
    if spec.family == "v2":
        is_t = (spec.stage_channels[-1], spec.top_channels) == _T_WIDTHS
        return ("imagenet" if is_t else "v2"), "this library's rescale_mode for the variant"
    if spec.family == "v2-b" and tag is not None:
        return TAGS[tag], f"--arch tag {tag}"
    if spec.family == "v2-b" and spec.variant in VARIANTS and requested_spec(request) is None:
        raise AmbiguousCheckpointError(
            describe_problems(
                f"{raw.path}: this library's weights of {spec.variant!r} share names and shapes "
                "but not input scaling; the file does not say which it is.",
                [
                    f"--arch EfficientNet{spec.variant.replace('-', '').upper()}.{name}: scaling "
                    f"{scaling!r}"
                    for name, scaling in TAGS.items()
                ],
            )
        )
    return "imagenet", "this library's rescale_mode for the variant"


DIALECT = Dialect(
    name="keras_efficientnet_v2",
    title="leondgarse/keras_efficientnet_v2",
    licence="MIT",
    containers=KERAS_CONTAINERS | {"tf-checkpoint", "tf-saved-model"},
    recognise=_recognise,
    prepare=_prepare,
    spec_from=_spec,
    rows=_rows,
    resolve=_resolve,
    ignore=(
        IgnoreRule(
            r"normalization(_\d+)?/(mean|variance|count)",
            "input scaling; kept as the conventions' preprocessing",
        ),
        IgnoreRule(r"seed_generator.*", "state of a dropout layer's random numbers"),
    ),
)
