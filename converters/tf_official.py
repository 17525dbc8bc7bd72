"""Checkpoints of the official TensorFlow code: tensorflow/tpu (V1, Lite) and google/automl (V2).

Convolutions and BatchNorms of a block are numbered as the code creates them
(`conv2d`, `conv2d_1`; `tpu_batch_normalization`, `_1`, `_2`), so what a number
means depends on whether the block expands. Variables are stored by name, each
with its moving average; the reader takes one set.
"""

import dataclasses
import re
from collections.abc import Iterator

from efn_compose.arch import PREPROCESSINGS, VARIANTS, ArchSpec, default_conventions
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.block_names import BlockPlace
from efn_compose.checkpoints.dialects.dialect import (
    Dialect,
    IgnoreRule,
    Prepared,
    Request,
    Resolved,
    Row,
)
from efn_compose.checkpoints.dialects.keras.keras_names import (
    keras_rows,
    output_channels,
    read_blocks,
)
from efn_compose.checkpoints.dialects.spec_reading import spec_from_stages, split_stages
from efn_compose.errors import AmbiguousCheckpointError, describe_problems

#: Scope, part of the network, rest: "efficientnet-b0", "blocks_3", "conv2d/kernel".
_NAME = re.compile(r"^(?:(?P<scope>.*?)/)?(?P<part>stem|blocks_\d+|head(?:_\d+)?)/(?P<rest>.+)$")
_BATCH_NORM = re.compile(r"\b(?:tpu_|sync_)?batch_normalization")

_ENDS = {
    "stem_conv": "stem/conv2d",
    "stem_bn": "stem/bn",
    "top_conv": "head/conv2d",
    "top_bn": "head/bn",
    "predictions": "head/dense",
}

#: Published sets of weights by tag: (preprocessing, description).
V1_TAGS = {
    "baseline": ("imagenet", "baseline"),
    "aa": ("imagenet", "AutoAugment"),
    "ra": ("imagenet", "RandAugment"),
    "ns": ("imagenet", "NoisyStudent"),
    "advprop": ("inception", "AdvProp"),
    "ap": ("inception", "AdvProp"),
}
V2_TAGS = {
    "in1k": ("imagenet", "trained on ImageNet-1k"),
    "in21k": ("v2", "trained on ImageNet-21k"),
    "in21k_ft_in1k": ("v2", "trained on ImageNet-21k, fine-tuned on 1k"),
}
_TAGS = V1_TAGS | V2_TAGS
IMAGENET_21K_CLASSES = 21843
BACKGROUND_CLASSES = 1001


def _recognise(raw: RawCheckpoint) -> bool:
    return any(name.endswith("blocks_0/conv2d/kernel") for name in raw.tensors) and any(
        name.endswith("stem/conv2d/kernel") for name in raw.tensors
    )


def _refuse(raw: RawCheckpoint) -> str | None:
    if any("condconv_kernel" in name for name in raw.tensors):
        return (
            "CondConv mixes several expert kernels per image, which no network here has. "
            "Use a checkpoint of the plain EfficientNet of the same size."
        )
    blocks = {m["part"] for m in map(_NAME.match, raw.tensors) if m}
    has_depthwise = any("depthwise_kernel" in name for name in raw.tensors)
    has_se = any("/se/conv2d" in name for name in raw.tensors)
    is_edge = any("edgetpu" in name for name in raw.tensors)
    if is_edge or (has_depthwise and not has_se and _is_fused(raw, blocks)):
        return (
            "EdgeTPU networks were trained with the stride of their fused blocks in the 1x1 "
            "projection by older code and in the 3x3 expansion by newer code; the file does not "
            "say which, and the results differ. Use timm's port (tf_efficientnet_es/em/el)."
        )
    return None


def _is_fused(raw: RawCheckpoint, blocks: set[str]) -> bool:
    return "blocks_0" in blocks and not any(
        re.search(r"blocks_0/depthwise_conv2d", name) for name in raw.tensors
    )


def _prepare(raw: RawCheckpoint, request: Request) -> Prepared:
    """Strip the model's scope, and call every BatchNorm `bn`, `bn_1`, `bn_2`."""
    tensors: dict[str, RawTensor] = {}
    scopes: set[str] = set()
    for name, tensor in raw.tensors.items():
        match = _NAME.match(name)
        short = name
        if match:
            scopes.add(match["scope"] or "")
            part = "head" if match["part"].startswith("head") else match["part"]
            short = f"{part}/{_BATCH_NORM.sub('bn', match['rest'])}"
        if short in tensors:
            raise AmbiguousCheckpointError(
                f"{raw.path}: {name!r} and {tensors[short].name!r} are the same part of the "
                f"network; the checkpoint holds several networks: {sorted(scopes)}."
            )
        tensors[short] = tensor
    metadata = {**raw.metadata, "scope": "/".join(sorted(scopes))}
    notes = raw.notes + tuple(f"stripped the scope {scope!r}" for scope in sorted(scopes) if scope)
    return Prepared(dataclasses.replace(raw, tensors=tensors, metadata=metadata, notes=notes))


def _part_name(place: BlockPlace, part: str) -> str:
    """Return a part's layer: numbered in order of creation, from the first the block has."""
    block = f"blocks_{place.index}"
    if part in ("se_reduce", "se_expand"):
        return f"{block}/se/conv2d{'_1' if part == 'se_expand' else ''}"
    if part == "depthwise_conv":
        return f"{block}/depthwise_conv2d"
    if part.endswith("_conv"):
        return f"{block}/conv2d{'_1' if part == 'project_conv' and place.has_expand else ''}"
    order = ["expand_bn"] if place.has_expand else []
    order += ["depthwise_bn"] if place.kind == "mbconv" else []
    order += ["project_bn"]
    number = order.index(part) if part in order else -1
    return f"{block}/bn" if number == 0 else f"{block}/bn_{number}"


def _spec(raw: RawCheckpoint, request: Request) -> ArchSpec:
    indices = {int(m[1]) for name in raw.tensors if (m := re.match(r"blocks_(\d+)/", name))}
    shapes = read_blocks(raw, [(0, index + 1) for index in range(len(indices))], _part_name)
    bare = dataclasses.replace(request, arch=_split_arch(request)[0])
    return spec_from_stages(
        output_channels(raw, "stem/conv2d"),
        split_stages(shapes, bare, str(raw.path)),
        output_channels(raw, "head/conv2d"),
        where=str(raw.path),
    )


def _rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None) -> Iterator[Row]:
    return keras_rows(spec, classes, raw, _ENDS, _part_name)


def _split_arch(request: Request) -> tuple[str | None, str | None]:
    """Return the network and the tag of `--arch efficientnet-b0.advprop`."""
    name, dot, tag = (request.arch or "").rpartition(".")
    if dot and tag.lower() in _TAGS:
        return name or None, tag.lower()
    return request.arch, None


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    default = default_conventions(spec)
    classes = output_channels(raw, "head/dense")
    scaling, source, tag = _preprocessing(raw, spec, request, classes)
    offset = 1 if classes == BACKGROUND_CLASSES else 0
    conventions = dataclasses.replace(
        default, preprocessing=PREPROCESSINGS[scaling], class_offset=offset
    )
    everywhere = "all checkpoints of the official code"
    sources = dict.fromkeys(("padding", "bn_epsilon", "activation", "bn_momentum"), everywhere)
    sources["preprocessing"] = source
    sources["class_offset"] = (
        "1001 classes: class 0 is the background" if offset else "no background class"
    )
    taken = raw.metadata.get("ema")
    return Resolved(
        conventions,
        sources,
        {"tag": tag, "ema": taken, "scope": raw.metadata.get("scope", "")},
    )


def _preprocessing(
    raw: RawCheckpoint, spec: ArchSpec, request: Request, classes: int
) -> tuple[str, str, str | None]:
    """Return the scaling, where it is known from, and the tag.

    Sets published for one network differ in scaling but not in shapes; only those
    networks need a tag. Networks of other widths have the code's own default.
    """
    tag = _split_arch(request)[1]
    is_v2_base = spec.family == "v2-b"
    if spec.family == "v2":
        # The tags of V2-B0 to B3 do not hold here: all sets of S to XL are scaled alike.
        return "v2", f"all official weights of {spec.variant}", tag
    if tag is not None:
        return _TAGS[tag][0], f"--arch tag {tag}: {_TAGS[tag][1]}", tag
    is_v2_base = spec.family == "v2-b"
    if is_v2_base and classes == IMAGENET_21K_CLASSES:
        return "v2", f"{classes} classes: trained on ImageNet-21k", "in21k"
    is_published = spec.variant in VARIANTS and spec.variant not in ("l0", "l1", "l2", "l3")
    tags = {"b": V1_TAGS, "v2-b": V2_TAGS}.get(spec.family)
    if is_published and tags:
        raise AmbiguousCheckpointError(
            describe_problems(
                f"{raw.path}: the official releases of {spec.variant!r} share names and shapes but "
                "not input scaling; the file does not say which it is.",
                [
                    f"--arch efficientnet{'' if is_v2_base else '-'}{spec.variant}.{tag}: "
                    f"{meaning}, scaling {scaling!r}"
                    for tag, (scaling, meaning) in tags.items()
                ],
            )
        )
    family = {"b": "imagenet", "lite": "lite", "v2-b": "imagenet", "v2": "v2"}
    scaling = family.get(spec.family, "imagenet")
    return scaling, f"the official code's default for the family {spec.family!r}", None


DIALECT = Dialect(
    name="tf_official",
    title="official TensorFlow (tensorflow/tpu, google/automl)",
    licence="Apache-2.0",
    containers=frozenset({"tf-checkpoint", "tf-saved-model"}),
    recognise=_recognise,
    refuse=_refuse,
    prepare=_prepare,
    spec_from=_spec,
    rows=_rows,
    resolve=_resolve,
    ignore=(
        IgnoreRule(r"global_step|.*save_counter.*", "training progress"),
        IgnoreRule(
            r".*/(RMSProp|RMSProp_1|Momentum|Adam|Adam_1|ExponentialMovingAverage)",
            "optimizer slot: training state",
        ),
        IgnoreRule(r"(optimizer|_optimizer|learning_rate|beta\d_power).*", "training state"),
    ),
)
