"""Writing for torchvision: V1, V2 S to L and MnasNet-B1."""

from pathlib import Path

from converters.torchvision import MODELS, torchvision_model
from converters.writing.export_target import (
    ExportTarget,
    TargetConventions,
    counters,
    is_own_network,
    needs,
    torch_load,
)
from efn_compose.arch import ArchSpec, base_of
from efn_compose.donors import Donor


def _has(spec: ArchSpec) -> bool:
    """Return whether torchvision has a network, by name or by its coefficients."""
    base = base_of(spec)
    scales = (base == "b" and "-w" in spec.variant) or (base == "mnasnet-b1" and spec.depth == 1)
    return (spec.variant in MODELS or scales) and is_own_network(spec, base or "")


def _obstacles(donor: Donor) -> list[str]:
    problems = []
    if not _has(donor.spec):
        has = "b0-b7, v2-s, v2-m, v2-l, and other coefficients of b and widths of mnasnet-b1"
        problems.append(needs("torchvision", has, donor.spec))
    if donor.classes is None:
        problems.append("≠ head: torchvision's models have a classifier; the donor has none")
    return problems


def _conventions(donor: Donor, resolution: int) -> TargetConventions:
    model = torchvision_model(donor.spec)
    if model is None:
        # V1 at other coefficients, built with the epsilon of B0.
        return TargetConventions("symmetric", 1e-5, "swish", "efficientnet_b0", resolution)
    return TargetConventions(
        "symmetric", model.bn_epsilon, model.activation, model.name, resolution
    )


def _load(donor: Donor, plan: TargetConventions, path: Path) -> str:
    spec, classes = donor.spec, donor.classes
    state = torch_load(path)
    if spec.variant in MODELS:
        build = f"torchvision.models.{plan.model}(num_classes={classes})"
    elif base_of(spec) == "mnasnet-b1":
        build = f"torchvision.models.MNASNet({spec.width:g}, num_classes={classes})"
    else:
        build = (
            "EfficientNet(*_efficientnet_conf('efficientnet_b0', "
            f"width_mult={spec.width:g}, depth_mult={spec.depth:g}), "
            f"num_classes={classes}, norm_layer=partial(nn.BatchNorm2d, eps={plan.bn_epsilon:g}))"
        )
    if base_of(spec) == "mnasnet-b1":
        # MNASNet asks for the version of its layout, which plain tensors do not carry.
        return (
            f"model = {build}; state = collections.OrderedDict({state}); "
            "state._metadata = {'': {'version': 2}}; model.load_state_dict(state)"
        )
    return f"model = {build}; model.load_state_dict({state})"


TORCHVISION = ExportTarget(
    "torchvision",
    "torchvision",
    _obstacles,
    _conventions,
    _load,
    counters("torchvision"),
)
