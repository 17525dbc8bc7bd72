"""Hugging Face transformers: B0 to B7 ported from `keras.applications`.

Blocks are numbered through the network. Padding is fixed for the resolution in
`config.json`: after the kernel's half less one, except in the blocks listed under
`depthwise_padding`. With the right list that is TensorFlow's padding at that
resolution and nowhere else; we run it as TensorFlow's everywhere.
"""

from typing import Any

from converters.transformers_fields import (
    PROCESSOR,
    config_problems,
    named_scaling,
    processor_scaling,
    stride_problems,
)
from efn_compose.arch import PREPROCESSINGS, ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.stated_fields import refuse_unknown
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE, TorchNames
from efn_compose.errors import ConversionError


def _prefix(raw: RawCheckpoint | None) -> str:
    """Models with a classifier put the network below `efficientnet.`."""
    if raw is None or "efficientnet.embeddings.convolution.weight" in raw.tensors:
        return "efficientnet."
    return ""


def _recognise(raw: RawCheckpoint) -> bool:
    return f"{_prefix(raw)}embeddings.convolution.weight" in raw.tensors


def _refuse(raw: RawCheckpoint) -> str | None:
    config = raw.metadata.get("config", {})
    if config.get("pooling_type", "mean") != "mean":
        return f"pooling_type {config['pooling_type']!r}: only mean pooling is an EfficientNet"
    if config.get("hidden_act", "swish") not in ("swish", "silu", "relu"):
        return f"hidden_act {config['hidden_act']!r} is not swish or relu"
    return None


_PARTS = {
    "expand_conv": "expansion.expand_conv",
    "expand_bn": "expansion.expand_bn",
    "depthwise_conv": "depthwise_conv.depthwise_conv",
    "depthwise_bn": "depthwise_conv.depthwise_norm",
    "se_reduce": "squeeze_excite.reduce",
    "se_expand": "squeeze_excite.expand",
    "project_conv": "projection.project_conv",
    "project_bn": "projection.project_bn",
}


def _names(raw: RawCheckpoint | None) -> TorchNames:
    root = _prefix(raw)
    return TorchNames(
        ends={
            "stem_conv": f"{root}embeddings.convolution",
            "stem_bn": f"{root}embeddings.batchnorm",
            "top_conv": f"{root}encoder.top_conv",
            "top_bn": f"{root}encoder.top_bn",
            "predictions": "classifier",
        },
        part_name=lambda place, part: f"{root}encoder.blocks.{place.index}.{_PARTS[part]}",
        has_stages=False,
        first_blocks_skip=False,
    )


def depthwise_padding(spec: ArchSpec, resolution: int) -> list[int]:
    """Return the blocks whose stride-2 input is odd, where TensorFlow's padding is symmetric.

    Args:
        spec: The network.
        resolution: Side of the network's input, in pixels.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> depthwise_padding(arch_spec("b2"), 260)
        [5, 8, 16]
    """
    size = -(-resolution // spec.stem_stride)
    odd = []
    for index, block in enumerate(spec.blocks):
        if block.stride == 2:
            if size % 2:
                odd.append(index)
            size = -(-size // 2)
    return odd


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    config = raw.metadata.get("config", {})
    sources: dict[str, str] = {}
    provenance: dict[str, Any] = {}
    resolution = config.get("image_size")
    if isinstance(resolution, int) and "depthwise_padding" in config:
        expected = depthwise_padding(spec, resolution)
        given = sorted(config["depthwise_padding"] or [])
        strided = [index for index, block in enumerate(spec.blocks) if block.stride == 2]
        if [index for index in given if index in strided] != expected or resolution % 2:
            raise ConversionError(
                f"{raw.path}: config.json pads blocks {given} symmetrically; TensorFlow's padding at "
                f"image_size {resolution} would be {expected} and an even size. The network computes "
                "neither convention, so it cannot be converted exactly. Correct config.json if the "
                "weights were trained elsewhere."
            )
        sources["padding"] = f"config.json: depthwise_padding for image_size {resolution}"
        provenance["exact_resolution"] = resolution
    epsilon = config.get("batch_norm_eps", 1e-3)
    if "batch_norm_eps" in config:
        sources["bn_epsilon"] = "config.json"
    scaling, problems = processor_scaling(raw.path.parent, request.accepted)
    problems += config_problems(config, request.accepted) + stride_problems(config, spec)
    refuse_unknown(raw.path, problems)
    if scaling is None:
        preprocessing = PREPROCESSINGS["imagenet"]
        sources["preprocessing"] = "all published google/efficientnet-* models"
    else:
        preprocessing = named_scaling(scaling)
        sources["preprocessing"] = f"{PROCESSOR} beside the file"
    return resolved(
        padding="same",
        bn_epsilon=float(epsilon),
        activation="relu" if config.get("hidden_act") == "relu" else "swish",
        preprocessing=preprocessing,
        source="all published google/efficientnet-* models",
        sources=sources,
        provenance=provenance,
    )


DIALECT = Dialect(
    name="transformers",
    title="Hugging Face transformers",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=_recognise,
    refuse=_refuse,
    spec_from=lambda raw, request: _names(raw).spec_from(raw, request),
    rows=lambda spec, classes, raw: _names(raw).rows(spec, classes, raw),
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
