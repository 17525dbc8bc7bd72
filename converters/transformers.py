"""Hugging Face transformers: B0 to B7 ported from `keras.applications`.

Blocks are numbered through the network. Padding is fixed for the resolution in
`config.json`: after the kernel's half less one, except in the blocks listed under
`depthwise_padding`. With the right list that is TensorFlow's padding at that
resolution and nowhere else; we run it as TensorFlow's everywhere.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from efn_compose.arch import HEAD_LAYER, PREPROCESSINGS, ArchSpec, Preprocessing
from efn_compose.checkpoints.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved, Row
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


def spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    """Return the network, widths read from the tensors."""
    root = _prefix(raw)
    blocks: list[BlockShape] = []
    while True:
        prefix = f"{root}encoder.blocks.{len(blocks)}"
        dw = shape_of(raw, f"{prefix}.depthwise_conv.depthwise_conv.weight")
        project = shape_of(raw, f"{prefix}.projection.project_conv.weight")
        if dw is None or project is None:
            break
        expand = shape_of(raw, f"{prefix}.expansion.expand_conv.weight")
        squeeze = shape_of(raw, f"{prefix}.squeeze_excite.reduce.weight")
        width = expand[1] if expand else dw[0]
        blocks.append(
            BlockShape(
                "mbconv",
                dw[-1],
                width,
                dw[0],
                project[0],
                squeeze[0] if squeeze else 0,
                expand is not None,
            )
        )
    stages = split_stages(blocks, request, str(raw.path))
    top = shape_of(raw, f"{root}encoder.top_conv.weight")
    stem = raw.tensors[f"{root}embeddings.convolution.weight"].shape[0]
    spec = spec_from_stages(
        stem, stages, top[0] if top else 0, where=str(raw.path), first_blocks_skip=False
    )
    return name_spec(spec)


def rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    """Yield the name table."""
    root = _prefix(raw)
    yield from conv(f"{root}embeddings.convolution", "stem_conv")
    yield from batch_norm(f"{root}embeddings.batchnorm", "stem_bn")
    for index, block in enumerate(spec.blocks):
        foreign, layer = f"{root}encoder.blocks.{index}", block.name
        if block.has_expand:
            yield from conv(f"{foreign}.expansion.expand_conv", f"{layer}_expand_conv")
            yield from batch_norm(f"{foreign}.expansion.expand_bn", f"{layer}_expand_bn")
        yield from depthwise(f"{foreign}.depthwise_conv.depthwise_conv", f"{layer}_depthwise_conv")
        yield from batch_norm(f"{foreign}.depthwise_conv.depthwise_norm", f"{layer}_depthwise_bn")
        if block.se_channels:
            yield from biased_conv(f"{foreign}.squeeze_excite.reduce", f"{layer}_se_reduce")
            yield from biased_conv(f"{foreign}.squeeze_excite.expand", f"{layer}_se_expand")
        yield from conv(f"{foreign}.projection.project_conv", f"{layer}_project_conv")
        yield from batch_norm(f"{foreign}.projection.project_bn", f"{layer}_project_bn")
    if spec.top_channels:
        yield from conv(f"{root}encoder.top_conv", "top_conv")
        yield from batch_norm(f"{root}encoder.top_bn", "top_bn")
    if classes is not None:
        yield from dense("classifier", HEAD_LAYER)


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
    preprocessing, sources["preprocessing"] = _preprocessing(raw)
    return resolved(
        padding="same",
        bn_epsilon=float(epsilon),
        activation="relu" if config.get("hidden_act") == "relu" else "swish",
        preprocessing=preprocessing,
        source="all published google/efficientnet-* models",
        sources=sources,
        provenance=provenance,
    )


def _preprocessing(raw: RawCheckpoint) -> tuple[str | Preprocessing, str]:
    """Return what the image processor beside the file amounts to."""
    default = "imagenet", "all published google/efficientnet-* models"
    path = raw.path.parent / "preprocessor_config.json"
    if not path.is_file() or path.stat().st_size > 1 << 20:
        return default
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        mean, std = fields["image_mean"], fields["image_std"]
        factor = fields.get("rescale_factor", 1 / 255)
        # With include_top the processor divides by the standard deviation a second time.
        power = 2 if fields.get("include_top", True) else 1
        scaling = Preprocessing(
            tuple(value / factor for value in mean),
            tuple(value**power / factor for value in std),
        )
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        return default
    if isinstance(fields, Mapping) and fields.get("rescale_offset"):
        return default
    for name, known in PREPROCESSINGS.items():
        pairs = zip((*known.mean, *known.std), (*scaling.mean, *scaling.std), strict=True)
        # The published processors carry square roots rounded to seven digits.
        if all(abs(a - b) < 0.01 for a, b in pairs):
            return name, "preprocessor_config.json beside the file"
    return scaling, "preprocessor_config.json beside the file"


DIALECT = Dialect(
    name="transformers",
    title="Hugging Face transformers",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=_recognise,
    refuse=_refuse,
    spec_from=spec_from,
    rows=rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
