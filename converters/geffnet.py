"""geffnet (gen-efficientnet-pytorch): timm's forerunner, with the same tensor names.

It agrees with timm bit for bit but for EdgeTPU, where its fused stride-2 blocks do
the 3x3 at stride 1 and the projection at stride 2. That equals a stride-2 3x3 with
symmetric padding; so its own `efficientnet_es/em/el` are exactly expressible, and
the `tf_` ones, which mix both paddings in one network, are refused.
"""

import re

from converters.timm import NAMES, has_timm_names, is_edge, refusal
from converters.timm_names import modern_name, timm_model
from efn_compose.arch import VARIANTS, ArchSpec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import TORCH_CONTAINERS, Dialect, Request, Resolved
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.torch.torch_names import TORCH_IGNORE
from efn_compose.errors import AmbiguousCheckpointError, ConversionError


def _offers(raw: RawCheckpoint) -> bool:
    """Only EdgeTPU runs differently from timm; elsewhere timm's dialect serves both."""
    return is_edge(raw) and "config" not in raw.metadata


def _resolve(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    name = request.arch or ""
    base, _ = modern_name(re.sub(r"_(ap|ns|ns_475)$", "", name))
    model = timm_model(base)
    if model is None:
        raise AmbiguousCheckpointError(
            f"{raw.path}: geffnet's padding and epsilon cannot be seen in tensors. Candidates: "
            f"--arch efficientnet_{spec.variant} (symmetric, 1e-5), --arch "
            f"tf_efficientnet_{spec.variant} (same, 1e-3), for B0 to B8 the latter with _ap or _ns, "
            "and of MnasNet --arch mnasnet_100, semnasnet_100 or another width (symmetric, 1e-5)."
        )
    if model.variant is not None and spec.variant in VARIANTS and spec.variant != model.variant:
        raise ConversionError(
            f"{raw.path}: --arch {name} is {model.variant}, but the tensors are of {spec.variant}."
        )
    if model.activation == "relu" and model.padding == "same":
        raise ConversionError(
            f"{raw.path}: geffnet's {name} strides in the projection of fused blocks, which equals "
            "symmetric padding there and SAME elsewhere; no single padding expresses that. Use "
            "timm's port of the same weights: --dialect timm --arch "
            f"{model.name}.in1k, which strides in the 3x3."
        )
    is_half = name.endswith("_ap") or re.search(r"tf_efficientnet_lite\d$", base)
    return resolved(
        padding=model.padding,
        bn_epsilon=model.bn_epsilon,
        activation=model.activation,
        preprocessing="inception" if is_half else "imagenet",
        bn_momentum=0.99 if model.padding == "same" else 0.9,
        source=f"model name {name} (--arch)",
        provenance={"model": name},
    )


DIALECT = Dialect(
    name="geffnet",
    title="gen-efficientnet-pytorch",
    licence="Apache-2.0",
    containers=TORCH_CONTAINERS,
    recognise=has_timm_names,
    offers=_offers,
    refuse=refusal,
    spec_from=NAMES.spec_from,
    rows=NAMES.rows,
    resolve=_resolve,
    ignore=TORCH_IGNORE,
)
