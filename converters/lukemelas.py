"""lukemelas/EfficientNet-PyTorch (`efficientnet_pytorch`): B0 to B8 ported from TensorFlow.

Blocks are numbered through the network; the depthwise BatchNorm is `_bn1` even in
blocks that have no `_bn0`. Padding is TensorFlow's, but fixed when the model is
built for one input size: at a size of another parity chain the library itself
departs from what the weights were trained with.
"""

from collections.abc import Iterator

from efn_compose.arch import HEAD_LAYER, ArchSpec
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
from efn_compose.errors import AmbiguousCheckpointError


def is_lukemelas_family(raw: RawCheckpoint) -> bool:
    """Whether the names are those of efficientnet_pytorch or its Lite offspring."""
    return {"_conv_stem.weight", "_blocks.0._depthwise_conv.weight"} <= set(raw.tensors)


def has_squeeze_excite(raw: RawCheckpoint) -> bool:
    """Whether the first block has squeeze-and-excite."""
    return "_blocks.0._se_reduce.weight" in raw.tensors


def spec_from(raw: RawCheckpoint, request: Request) -> ArchSpec:
    """Return the network, widths read from the tensors."""
    blocks = []
    while (index := len(blocks)) < 10_000:
        prefix = f"_blocks.{index}."
        kernel = shape_of(raw, f"{prefix}_depthwise_conv.weight")
        project = shape_of(raw, f"{prefix}_project_conv.weight")
        if kernel is None or project is None:
            break
        expand = shape_of(raw, f"{prefix}_expand_conv.weight")
        squeeze = shape_of(raw, f"{prefix}_se_reduce.weight")
        blocks.append(
            BlockShape(
                kind="mbconv",
                kernel=kernel[-1],
                in_channels=expand[1] if expand else kernel[0],
                mid_channels=kernel[0],
                out_channels=project[0],
                se_channels=squeeze[0] if squeeze else 0,
                has_expand=expand is not None,
            )
        )
    stages = split_stages(blocks, request, str(raw.path))
    top = shape_of(raw, "_conv_head.weight")
    stem = raw.tensors["_conv_stem.weight"].shape[0]
    spec = spec_from_stages(
        stem, stages, top[0] if top else 0, where=str(raw.path), first_blocks_skip=False
    )
    return name_spec(spec)


def rows(spec: ArchSpec, classes: int | None, raw: RawCheckpoint | None = None) -> Iterator[Row]:
    """Yield the name table."""
    yield from conv("_conv_stem", "stem_conv")
    yield from batch_norm("_bn0", "stem_bn")
    for index, block in enumerate(spec.blocks):
        foreign, layer = f"_blocks.{index}", block.name
        if block.has_expand:
            yield from conv(f"{foreign}._expand_conv", f"{layer}_expand_conv")
            yield from batch_norm(f"{foreign}._bn0", f"{layer}_expand_bn")
        yield from depthwise(f"{foreign}._depthwise_conv", f"{layer}_depthwise_conv")
        yield from batch_norm(f"{foreign}._bn1", f"{layer}_depthwise_bn")
        if block.se_channels:
            yield from biased_conv(f"{foreign}._se_reduce", f"{layer}_se_reduce")
            yield from biased_conv(f"{foreign}._se_expand", f"{layer}_se_expand")
        yield from conv(f"{foreign}._project_conv", f"{layer}_project_conv")
        yield from batch_norm(f"{foreign}._bn2", f"{layer}_project_bn")
    if spec.top_channels:
        yield from conv("_conv_head", "top_conv")
        yield from batch_norm("_bn1", "top_bn")
    if classes is not None:
        yield from dense("_fc", HEAD_LAYER)


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    arch = (request.arch or "").lower()
    if "adv" in arch:
        preprocessing, source = "inception", f"--arch {request.arch} (AdvProp)"
    elif raw.path.name.startswith("adv-"):
        preprocessing, source = "inception", f"published file name {raw.path.name} (AdvProp)"
    elif spec.variant == "b8":
        preprocessing, source = "inception", "B8 was published with AdvProp only"
    elif arch or raw.path.name.startswith("efficientnet-"):
        source = f"--arch {request.arch}" if arch else f"published file name {raw.path.name}"
        preprocessing = "imagenet"
    else:
        raise AmbiguousCheckpointError(
            f"{raw.path}: the same tensor names hold weights trained with two input scalings. "
            f"Candidates: --arch efficientnet-{spec.variant} (ImageNet mean and std; all files named "
            f"efficientnet-...), --arch adv-efficientnet-{spec.variant} (AdvProp, pixels to -1..1; all "
            "files named adv-efficientnet-...)."
        )
    return resolved(
        padding="same",
        bn_epsilon=1e-3,
        activation="swish",
        preprocessing=preprocessing,
        source="all files of efficientnet_pytorch",
        sources={"preprocessing": source},
    )


DIALECT = Dialect(
    name="lukemelas",
    title="lukemelas/EfficientNet-PyTorch",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=lambda raw: is_lukemelas_family(raw) and has_squeeze_excite(raw),
    spec_from=spec_from,
    rows=rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
