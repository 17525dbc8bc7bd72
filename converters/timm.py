"""timm (PyTorch Image Models): V1, V2, Lite, EdgeTPU, TinyNet, MnasNet, pruned and rw networks.

Blocks are numbered per stage. A block's kind shows in its keys: only `conv` is a
single fused convolution; `conv_exp` and `conv_pwl` a fused block; `conv_pw`,
`conv_dw`, `conv_pwl` an inverted residual; `conv_dw` and `conv_pw` without
`conv_pwl` one without expansion, where `conv_pw` is the projection.
"""

from converters.timm_models import timm_conventions
from converters.timm_names import TAGS, modern_name
from efn_compose.arch import ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.block_names import BlockPlace
from efn_compose.checkpoints.dialects.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE, TorchNames


def has_timm_names(raw: RawCheckpoint) -> bool:
    """Return whether the names are those of timm's EfficientNets (geffnet uses the same)."""
    names = set(raw.tensors)
    first = {f"blocks.0.0.{name}.weight" for name in ("conv", "conv_dw", "conv_exp")}
    return "conv_stem.weight" in names and bool(first & names)


def is_edge(raw: RawCheckpoint) -> bool:
    """Return whether the network has fused blocks and no squeeze-and-excite."""
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


def _part_name(place: BlockPlace, part: str) -> str:
    """Return a part's module; BatchNorms are numbered from the first that the block has."""
    is_fused = place.kind == "fused"
    norms = ["expand_bn"] if place.has_expand else []
    norms += [] if is_fused else ["depthwise_bn"]
    norms += ["project_bn"]
    if part in norms:
        name = f"bn{norms.index(part) + 1}"
    elif part == "project_conv" and not place.has_expand:
        name = "conv" if is_fused else "conv_pw"
    else:
        name = {
            "expand_conv": "conv_exp" if is_fused else "conv_pw",
            "depthwise_conv": "conv_dw",
            "se_reduce": "se.conv_reduce",
            "se_expand": "se.conv_expand",
            "project_conv": "conv_pwl",
        }.get(part, part)
    return f"blocks.{place.stage - 1}.{place.repeat - 1}.{name}"


NAMES = TorchNames(
    ends={
        "stem_conv": "conv_stem",
        "stem_bn": "bn1",
        "top_conv": "conv_head",
        "top_bn": "bn2",
        "predictions": "classifier",
    },
    part_name=_part_name,
)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    return timm_conventions(raw, spec, request)


def _claims(arch: str) -> bool:
    """Only timm writes tags after a dot, or the repository before a slash."""
    name, _, tag = arch.rpartition("/")[2].partition(".")
    model, old_tag = modern_name(name)
    return model != name or (tag or old_tag) in TAGS.get(model, ())


DIALECT = Dialect(
    name="timm",
    title="PyTorch Image Models",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=has_timm_names,
    refuse=refusal,
    spec_from=NAMES.spec_from,
    rows=NAMES.rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
    claims=_claims,
)
