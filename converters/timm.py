"""timm (PyTorch Image Models): V1, V2, Lite, EdgeTPU, pruned and rw networks.

Blocks are numbered per stage. A block's kind shows in its keys: only `conv` is a
single fused convolution; `conv_exp` and `conv_pwl` a fused block; `conv_pw`,
`conv_dw`, `conv_pwl` an inverted residual; `conv_dw` and `conv_pw` without
`conv_pwl` one without expansion, where `conv_pw` is the projection.
"""

from collections.abc import Iterator

from converters.timm_models import TAGS, timm_conventions
from efn_compose.arch import HEAD_LAYER, ArchSpec, BlockSpec
from efn_compose.checkpoints.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved, Row
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


def has_timm_names(raw: RawCheckpoint) -> bool:
    """Whether the names are those of timm's EfficientNets (geffnet uses the same)."""
    names = set(raw.tensors)
    first = {f"blocks.0.0.{name}.weight" for name in ("conv", "conv_dw", "conv_exp")}
    return "conv_stem.weight" in names and bool(first & names)


def is_edge(raw: RawCheckpoint) -> bool:
    """Whether the network has fused blocks and no squeeze-and-excite."""
    return "blocks.0.0.conv_exp.weight" in raw.tensors and not any(
        ".se." in name for name in raw.tensors
    )


def refusal(raw: RawCheckpoint) -> str | None:
    """Return why a network with these names cannot be expressed, or None."""
    names = raw.tensors
    if any("routing_fn" in name for name in names):
        return "CondConv: its kernels are mixed anew for every image; no one kernel replaces them"
    if any(name.startswith("conv_s2d") or ".conv_s2d" in name for name in names):
        return "EfficientNet-H: a space-to-depth stem has no place in the common network"
    if any("conv_attn" in name or "mlp_scale" in name for name in names):
        return "gc_efficientnetv2: global-context attention in place of squeeze-and-excite"
    if "bn1.running_mean" not in names:
        return "GroupNorm or EvoNorm in place of BatchNorm"
    if any(name.endswith("conv_dw.0.weight") for name in names):
        return "MixNet: mixed kernel sizes in one depthwise convolution"
    for name, tensor in names.items():
        if name.endswith(".conv_dw.weight") and tensor.shape[1] != 1:
            return f"grouped convolution in place of a depthwise one ({name} {tensor.shape})"
    if "conv_head.bias" in names:
        return "MobileNetV3: the last convolution comes after pooling and has a bias"
    return None


def _block_shape(raw: RawCheckpoint, prefix: str) -> BlockShape | None:
    def shape(name: str) -> tuple[int, ...] | None:
        return shape_of(raw, f"{prefix}.{name}.weight")

    squeeze = shape("se.conv_reduce")
    se_channels = squeeze[0] if squeeze else 0
    single, fused, dw = shape("conv"), shape("conv_exp"), shape("conv_dw")
    expand, project = shape("conv_pw"), shape("conv_pwl")
    if single:
        out, width, kernel = single[0], single[1], single[-1]
        return BlockShape("fused", kernel, width, width, out, se_channels, False)
    if fused and project:
        mid, width, kernel = fused[0], fused[1], fused[-1]
        return BlockShape("fused", kernel, width, mid, project[0], se_channels, True)
    if dw and expand and project:
        return BlockShape("mbconv", dw[-1], expand[1], dw[0], project[0], se_channels, True)
    if dw and expand:
        return BlockShape("mbconv", dw[-1], dw[0], dw[0], expand[0], se_channels, False)
    return None


def spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    """Return the network, widths read from the tensors."""
    stages: list[list[BlockShape]] = []
    while len(stages) < 32:
        stage: list[BlockShape] = []
        while block := _block_shape(raw, f"blocks.{len(stages)}.{len(stage)}"):
            stage.append(block)
        if not stage:
            break
        stages.append(stage)
    top = shape_of(raw, "conv_head.weight")
    stem = raw.tensors["conv_stem.weight"].shape[0]
    return name_spec(spec_from_stages(stem, stages, top[0] if top else 0, where=str(raw.path)))


def _block_rows(block: BlockSpec) -> Iterator[Row]:
    foreign, layer = f"blocks.{block.stage - 1}.{block.repeat - 1}", block.name
    norms = iter(("bn1", "bn2", "bn3"))
    if block.is_single_conv:
        yield from conv(f"{foreign}.conv", f"{layer}_project_conv")
        yield from batch_norm(f"{foreign}.{next(norms)}", f"{layer}_project_bn")
        return
    if block.has_expand:
        name = "conv_exp" if block.kind == "fused" else "conv_pw"
        yield from conv(f"{foreign}.{name}", f"{layer}_expand_conv")
        yield from batch_norm(f"{foreign}.{next(norms)}", f"{layer}_expand_bn")
    if block.kind == "mbconv":
        yield from depthwise(f"{foreign}.conv_dw", f"{layer}_depthwise_conv")
        yield from batch_norm(f"{foreign}.{next(norms)}", f"{layer}_depthwise_bn")
    if block.se_channels:
        yield from biased_conv(f"{foreign}.se.conv_reduce", f"{layer}_se_reduce")
        yield from biased_conv(f"{foreign}.se.conv_expand", f"{layer}_se_expand")
    name = "conv_pwl" if block.has_expand else "conv_pw"
    yield from conv(f"{foreign}.{name}", f"{layer}_project_conv")
    yield from batch_norm(f"{foreign}.{next(norms)}", f"{layer}_project_bn")


def rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    """Yield the name table."""
    yield from conv("conv_stem", "stem_conv")
    yield from batch_norm("bn1", "stem_bn")
    for block in spec.blocks:
        yield from _block_rows(block)
    if spec.top_channels:
        yield from conv("conv_head", "top_conv")
        yield from batch_norm("bn2", "top_bn")
    if classes is not None:
        yield from dense("classifier", HEAD_LAYER)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    return timm_conventions(raw, spec, request)


def _claims(arch: str) -> bool:
    """Only timm writes tags after a dot, or the repository before a slash."""
    name, _, tag = arch.rpartition("/")[2].partition(".")
    return tag in TAGS.get(name, ())


DIALECT = Dialect(
    name="timm",
    title="PyTorch Image Models",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=has_timm_names,
    refuse=refusal,
    spec_from=spec_from,
    rows=rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
    claims=_claims,
)
