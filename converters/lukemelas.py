"""lukemelas/EfficientNet-PyTorch (`efficientnet_pytorch`): B0 to B8 ported from TensorFlow.

Blocks are numbered through the network; the depthwise BatchNorm is `_bn1` even in
blocks that have no `_bn0`. Padding is TensorFlow's, but fixed when the model is
built for one input size: at a size of another parity chain the library itself
departs from what the weights were trained with.
"""

from efn_compose.arch import ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE, TorchNames
from efn_compose.errors import AmbiguousCheckpointError


def is_lukemelas_family(raw: RawCheckpoint) -> bool:
    """Return whether the names are those of efficientnet_pytorch or its Lite offspring."""
    return {"_conv_stem.weight", "_blocks.0._depthwise_conv.weight"} <= set(raw.tensors)


def has_squeeze_excite(raw: RawCheckpoint) -> bool:
    """Return whether the first block has squeeze-and-excite."""
    return "_blocks.0._se_reduce.weight" in raw.tensors


_PARTS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "se_reduce": "_se_reduce",
    "se_expand": "_se_expand",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}

NAMES = TorchNames(
    ends={
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "top_conv": "_conv_head",
        "top_bn": "_bn1",
        "predictions": "_fc",
    },
    part_name=lambda place, part: f"_blocks.{place.index}.{_PARTS[part]}",
    has_stages=False,
    first_blocks_skip=False,
)


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
    spec_from=NAMES.spec_from,
    rows=NAMES.rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
