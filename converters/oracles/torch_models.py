"""Fresh models of the PyTorch libraries, by published name or by coefficients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from converters.oracles import NoOracleError
from converters.timm_names import BUILDERS, timm_model
from converters.torchvision import MODELS
from converters.transformers import depthwise_padding
from efn_compose.arch import ArchSpec, base_of

_DECLARED: list[object] = []


@dataclass(frozen=True)
class Wanted:
    """The network that a library is asked to build.

    Args:
        spec: The network.
        name: The library's model name, where it goes by names; with a tag allowed.
        classes: Width of the classifier, 0 for none.
        bn_epsilon: Epsilon, for networks that the library does not publish.
        resolution: Side for which padding is fixed, in pixels (transformers).
        arguments: Further arguments of the library's builder, as they stand beside the weights.
    """

    spec: ArchSpec
    name: str = ""
    classes: int = 10
    bn_epsilon: float = 1e-3
    resolution: int = 224
    arguments: Mapping[str, Any] = field(default_factory=dict)


def declare_torchvision_operators() -> None:
    """Let a CUDA build of torchvision be imported beside a CPU build of torch.

    Such a pair fails at import for want of two detection operators that no
    classification network uses; their schemas are enough.
    """
    import torch

    if _DECLARED or hasattr(torch.ops.torchvision, "nms"):
        return
    found = find_spec("torchvision")
    folders = found.submodule_search_locations if found else None
    if torch.version.cuda is not None or not folders:
        return
    if "+cu" not in (Path(folders[0]) / "version.py").read_text(encoding="utf-8"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _DECLARED.append(library)


def _is_scaled(spec: ArchSpec, *families: str) -> bool:
    """Return whether the network follows from its family's table by its width and depth."""
    return spec.family in families and spec.variant != "custom"


def _fits(model: Any, spec: ArchSpec) -> bool:
    """Return whether a timm or geffnet model has the repeats and outer widths of a network."""
    lengths = tuple(len(stage) for stage in model.blocks)
    head, stem = model.conv_head.weight.shape, model.conv_stem.weight.shape[0]
    widths = (stem, head[0], head[1])
    return lengths == spec.stage_repeats and widths == (
        spec.stem_channels,
        spec.top_channels,
        spec.blocks[-1].out_channels,
    )


def _by_coefficients(families: Any, wanted: Wanted) -> Any:
    """Return a network of timm's or geffnet's builder of a base."""
    spec = wanted.spec
    builder = BUILDERS.get(base_of(spec) or "")
    function = getattr(families, builder.function, None) if builder else None
    if builder is None or function is None or not builder.builds(spec):
        raise NoOracleError(f"{families.__name__} cannot build {spec.variant} ({wanted.name}).")
    name = wanted.name.partition(".")[0]
    # geffnet tells sets of weights apart by a suffix instead of a tag.
    known = timm_model(name.removesuffix("_ap").removesuffix("_ns"))
    padding = known.padding if known else "symmetric"
    return function(name, num_classes=wanted.classes, **builder.arguments(spec, padding))


def timm_network(wanted: Wanted) -> Any:
    """Return timm's model of a name, or of its builder at other coefficients."""
    declare_torchvision_operators()
    import timm
    from timm.models import efficientnet as families

    name = wanted.name.partition(".")[0]
    known = timm_model(name)
    is_named = known is not None and known.variant == wanted.spec.variant
    if base_of(wanted.spec) in BUILDERS and "-w" in wanted.spec.variant and not is_named:
        return _by_coefficients(families, wanted)
    model = timm.create_model(name, num_classes=wanted.classes, **dict(wanted.arguments))
    return model if _fits(model, wanted.spec) else _by_coefficients(families, wanted)


def geffnet_network(wanted: Wanted) -> Any:
    """Return geffnet's model of a name, or of its builder at other coefficients."""
    import geffnet
    from geffnet import gen_efficientnet as families

    if "-w" in wanted.spec.variant:
        return _by_coefficients(families, wanted)
    return geffnet.create_model(wanted.name, pretrained=False, num_classes=wanted.classes)


def torchvision_network(wanted: Wanted) -> Any:
    """Return torchvision's model of a variant, or a network at other coefficients."""
    declare_torchvision_operators()
    from functools import partial

    import torchvision
    from torch import nn
    from torchvision.models import efficientnet as families

    spec = wanted.spec
    if spec.variant in MODELS:
        build = getattr(torchvision.models, MODELS[spec.variant].name)
        return build(weights=None, num_classes=wanted.classes)
    if base_of(spec) == "mnasnet-b1" and spec.depth == 1:
        return torchvision.models.MNASNet(spec.width, num_classes=wanted.classes)
    if not _is_scaled(spec, "b"):
        raise NoOracleError(f"torchvision cannot build {spec.variant}.")
    settings, last = families._efficientnet_conf(
        "efficientnet_b0", width_mult=spec.width, depth_mult=spec.depth
    )
    norm = partial(nn.BatchNorm2d, eps=wanted.bn_epsilon)
    return families.EfficientNet(
        settings, 0.2, last_channel=last, num_classes=wanted.classes, norm_layer=norm
    )


def lukemelas_network(wanted: Wanted) -> Any:
    """Return efficientnet_pytorch's model, with its padding computed for every size."""
    from efficientnet_pytorch import EfficientNet
    from efficientnet_pytorch.utils import efficientnet

    return _lukemelas_like(wanted, EfficientNet, efficientnet, "b")


def lite_network(wanted: Wanted) -> Any:
    """Return efficientnet_lite_pytorch's model, with its padding computed for every size."""
    from efficientnet_lite_pytorch import EfficientNet
    from efficientnet_lite_pytorch.utils import efficientnet_lite

    return _lukemelas_like(wanted, EfficientNet, efficientnet_lite, "lite")


def _lukemelas_like(wanted: Wanted, model: Any, parameters: Any, family: str) -> Any:
    spec = wanted.spec
    if not _is_scaled(spec, family):
        raise NoOracleError(f"{model.__module__} cannot build {spec.variant}.")
    # image_size None pads for the size that comes; the library's default pads for one size.
    settings = parameters(spec.width, spec.depth, image_size=None, num_classes=wanted.classes)
    return model(*settings)


def transformers_network(wanted: Wanted) -> Any:
    """Return transformers' model, its padding fixed for the wanted resolution."""
    declare_torchvision_operators()
    from transformers import EfficientNetForImageClassification

    return EfficientNetForImageClassification(transformers_config(wanted))


def transformers_config(wanted: Wanted) -> Any:
    """Return the configuration of transformers' model."""
    from transformers import EfficientNetConfig

    spec = wanted.spec
    if not _is_scaled(spec, "b"):
        raise NoOracleError(f"transformers cannot build {spec.variant}.")
    return EfficientNetConfig(
        width_coefficient=spec.width,
        depth_coefficient=spec.depth,
        image_size=wanted.resolution,
        hidden_dim=spec.top_channels,
        depthwise_padding=depthwise_padding(spec, wanted.resolution),
        num_labels=wanted.classes,
        batch_norm_eps=wanted.bn_epsilon,
    )


#: Builder of a fresh model by dialect.
NETWORKS: dict[str, Callable[[Wanted], Any]] = {
    "timm": timm_network,
    "geffnet": geffnet_network,
    "torchvision": torchvision_network,
    "lukemelas": lukemelas_network,
    "lite": lite_network,
    "transformers": transformers_network,
}
