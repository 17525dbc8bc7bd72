"""The networks that each PyTorch library can express, and how its files are loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.registry import CONVERTERS
from converters.timm_models import timm_model
from converters.torchvision import torchvision_epsilon
from converters.transformers import depthwise_padding
from efn_compose.arch import VARIANTS, ArchSpec, arch_spec
from efn_compose.donors import Donor


@dataclass(frozen=True)
class TargetConventions:
    """How a library will run the weights it is given.

    Args:
        padding: "same" or "symmetric".
        bn_epsilon: Its epsilon.
        activation: Its activation, None where it takes any.
        model: Its name of the network.
        resolution: Side for which padding is fixed, in pixels.
    """

    padding: str
    bn_epsilon: float
    activation: str | None
    model: str
    resolution: int


@dataclass(frozen=True)
class ExportTarget:
    """One library to write for.

    Args:
        name: For `--to`.
        dialect: Whose name table is used.
        obstacles: Reasons why the library does not have the network.
        conventions: The library's conventions that come nearest to those of the weights.
        load: Python that loads the result.
        extras: Tensors that a strict load wants beside the weights.
        sidecars: JSON files by name, for a folder.
        takes_folder: Whether a folder may be written.
        needs_folder: Whether only a folder may.
        only_safetensors: Whether `.pth` is not offered.
    """

    name: str
    dialect: str
    obstacles: Callable[[Donor], list[str]]
    conventions: Callable[[Donor, int], TargetConventions]
    load: Callable[[Donor, TargetConventions, Path], str]
    extras: Callable[[Donor], Mapping[str, np.ndarray]] = lambda donor: {}
    sidecars: Callable[[Donor, TargetConventions], Mapping[str, Any]] = lambda donor, plan: {}
    takes_folder: bool = False
    needs_folder: bool = False
    only_safetensors: bool = False


def _counters(dialect: str) -> Callable[[Donor], Mapping[str, np.ndarray]]:
    """BatchNorm's step counters, which a strict load asks for and inference never reads."""

    def extras(donor: Donor) -> dict[str, np.ndarray]:
        names = (row.foreign for row in CONVERTERS[dialect].rows(donor.spec, donor.classes, None))
        suffix = ".running_var"
        return {
            f"{name.removesuffix(suffix)}.num_batches_tracked": np.zeros((), np.int64)
            for name in names
            if name.endswith(suffix)
        }

    return extras


def is_own_network(spec: ArchSpec, *families: str) -> bool:
    """Whether a network is exactly the one of its name or its coefficients."""
    if spec.family not in families or spec.variant == "custom" or "cifar" in spec.variant:
        return False
    return spec.same_tensors_as(arch_spec(spec.variant))


def _needs(library: str, what: str, spec: ArchSpec) -> str:
    return f"≠ network: {library} has {what}; received {spec.variant!r} ({spec.family})"


def _first_blocks_add(spec: ArchSpec) -> bool:
    return any(block.repeat == 1 and block.has_skip for block in spec.blocks)


# timm


def _timm_name(donor: Donor) -> str | None:
    """Return the timm model of a donor: its own if it came from there, else by its padding."""
    spec = donor.spec
    own = donor.provenance.get("model")
    if isinstance(own, str) and donor.provenance.get("dialect") == "timm":
        known = timm_model(own)
        if known is not None and known.padding == donor.conventions.padding:
            return own
    if spec.variant not in VARIANTS:
        # Other coefficients: the builder of the family takes them.
        variant = {"b": "b0", "lite": "lite0", "edge": "es", "v2-b": "v2-b0"}[spec.family]
    else:
        variant = spec.variant
    base = (
        f"efficientnet{variant.replace('-', '_')}"
        if variant.startswith("v2")
        else (f"efficientnet_{variant}")
    )
    name = f"tf_{base}" if donor.conventions.padding == "same" else base
    return name if timm_model(name) else None


def _timm_obstacles(donor: Donor) -> list[str]:
    spec = donor.spec
    came_from_timm = donor.provenance.get("dialect") == "timm"
    fits = is_own_network(spec, "b", "lite", "edge", "v2-b", "v2")
    if not (fits or came_from_timm) or (fits and _timm_name(donor) is None):
        return [_needs("timm", "b0-b8, l2, lite0-4, es, em, el, v2 and what it published", spec)]
    if spec.variant in ("l0", "l1", "l3"):
        return [_needs("timm", "no model of this size", spec)]
    return []


def _timm_conventions(donor: Donor, resolution: int) -> TargetConventions:
    model = timm_model(_timm_name(donor))
    return TargetConventions(
        model.padding, model.bn_epsilon, model.activation, model.name, resolution
    )


def _timm_load(donor: Donor, plan: TargetConventions, path: Path) -> str:
    if path.is_dir():
        return f"timm.create_model('local-dir:{path}', pretrained=True)"
    spec, classes = donor.spec, donor.classes or 0
    if spec.variant in VARIANTS or spec.variant == "custom":
        return f"timm.create_model('{plan.model}', num_classes={classes}, checkpoint_path='{path}')"
    options = ", pad_type='same', bn_eps=1e-3" if plan.padding == "same" else ""
    builder = {
        "b": "_gen_efficientnet",
        "lite": "_gen_efficientnet_lite",
        "edge": "_gen_efficientnet_edge",
        "v2-b": "_gen_efficientnetv2_base",
    }[spec.family]
    return (
        f"timm.models.efficientnet.{builder}('{plan.model}', channel_multiplier={spec.width:g}, "
        f"depth_multiplier={spec.depth:g}, num_classes={classes}{options})"
    )


def _timm_config(donor: Donor, plan: TargetConventions) -> dict[str, Any]:
    scaling = donor.conventions.preprocessing
    side = plan.resolution
    return {
        "config.json": {
            "architecture": plan.model,
            "num_classes": donor.classes or 0,
            "num_features": donor.spec.feature_channels,
            "pretrained_cfg": {
                "mean": [value / 255 for value in scaling.mean],
                "std": [value / 255 for value in scaling.std],
                "input_size": [3, side, side],
                "num_classes": donor.classes or 0,
                "first_conv": "conv_stem",
                "classifier": "classifier",
            },
        }
    }


# torchvision


def _torchvision_obstacles(donor: Donor) -> list[str]:
    spec = donor.spec
    problems = []
    has = torchvision_epsilon(spec.variant) is not None or spec.variant not in VARIANTS
    if not has or not is_own_network(spec, "b", "v2"):
        problems.append(_needs("torchvision", "b0-b7 and v2-s, v2-m, v2-l", spec))
    if donor.classes is None:
        problems.append("≠ head: torchvision's models have a classifier; the donor has none")
    return problems


def _torchvision_conventions(donor: Donor, resolution: int) -> TargetConventions:
    spec = donor.spec
    epsilon = torchvision_epsilon(spec.variant) or 1e-5
    name = f"efficientnet_{spec.variant.replace('-', '_')}"
    return TargetConventions("symmetric", epsilon, "swish", name, resolution)


def _torchvision_load(donor: Donor, plan: TargetConventions, path: Path) -> str:
    classes = donor.classes
    if donor.spec.variant in VARIANTS:
        build = f"torchvision.models.{plan.model}(num_classes={classes})"
    else:
        build = (
            "EfficientNet(*_efficientnet_conf('efficientnet_b0', "
            f"width_mult={donor.spec.width:g}, depth_mult={donor.spec.depth:g}), "
            f"num_classes={classes}, norm_layer=partial(nn.BatchNorm2d, eps={plan.bn_epsilon:g}))"
        )
    return f"model = {build}; model.load_state_dict({_torch_load(path)})"


def _torch_load(path: Path) -> str:
    if path.suffix == ".safetensors":
        return f"safetensors.torch.load_file('{path}')"
    return f"torch.load('{path}', weights_only=True)"


# lukemelas


def _lukemelas_obstacles(donor: Donor) -> list[str]:
    spec = donor.spec
    problems = []
    if not is_own_network(spec, "b"):
        problems.append(_needs("efficientnet_pytorch", "b0-b8, l2 and other coefficients", spec))
    elif _first_blocks_add(spec):
        problems.append("≠ wiring: it never adds the input of a stage's first block")
    if donor.classes is None:
        problems.append("≠ head: its models have a classifier; the donor has none")
    return problems


def _lukemelas_load(donor: Donor, plan: TargetConventions, path: Path) -> str:
    spec = donor.spec
    if spec.variant in VARIANTS:
        build = (
            f"EfficientNet.from_name('{plan.model}', num_classes={donor.classes}, image_size=None)"
        )
    else:
        build = (
            f"EfficientNet(*efficientnet_pytorch.utils.efficientnet({spec.width:g}, "
            f"{spec.depth:g}, image_size=None, num_classes={donor.classes}))"
        )
    return f"model = {build}; model.load_state_dict({_torch_load(path)})"


# transformers


def _transformers_obstacles(donor: Donor) -> list[str]:
    spec = donor.spec
    problems = []
    if not is_own_network(spec, "b"):
        problems.append(_needs("transformers", "V1 networks", spec))
    elif _first_blocks_add(spec):
        problems.append("≠ wiring: it never adds the input of a stage's first block")
    if donor.classes is None:
        problems.append("≠ head: the donor has none")
    return problems


def _transformers_conventions(donor: Donor, resolution: int) -> TargetConventions:
    activation = "relu" if donor.conventions.activation == "relu" else "swish"
    epsilon = donor.conventions.bn_epsilon
    return TargetConventions("same", epsilon, activation, "efficientnet", resolution)


def _transformers_sidecars(donor: Donor, plan: TargetConventions) -> dict[str, Any]:
    spec, scaling = donor.spec, donor.conventions.preprocessing
    labels = {str(number): f"LABEL_{number}" for number in range(donor.classes or 0)}
    side = plan.resolution
    return {
        "config.json": {
            "architectures": ["EfficientNetForImageClassification"],
            "model_type": "efficientnet",
            "width_coefficient": spec.width,
            "depth_coefficient": spec.depth,
            "image_size": side,
            "hidden_dim": spec.top_channels,
            "hidden_act": plan.activation,
            "dropout_rate": spec.dropout,
            "batch_norm_eps": plan.bn_epsilon,
            "depthwise_padding": depthwise_padding(spec, side),
            "id2label": labels,
            "label2id": {label: int(number) for number, label in labels.items()},
        },
        "preprocessor_config.json": {
            "image_processor_type": "EfficientNetImageProcessor",
            "size": {"height": side, "width": side},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "rescale_offset": False,
            "do_normalize": True,
            "image_mean": [value / 255 for value in scaling.mean],
            "image_std": [value / 255 for value in scaling.std],
            "include_top": False,
        },
    }


# our own names


def _safetensors_conventions(donor: Donor, resolution: int) -> TargetConventions:
    rules = donor.conventions
    return TargetConventions(
        rules.padding, rules.bn_epsilon, rules.activation, donor.spec.variant, resolution
    )


_ALL = (
    ExportTarget(
        "timm",
        "timm",
        _timm_obstacles,
        _timm_conventions,
        _timm_load,
        _counters("timm"),
        _timm_config,
        takes_folder=True,
    ),
    ExportTarget(
        "torchvision",
        "torchvision",
        _torchvision_obstacles,
        _torchvision_conventions,
        _torchvision_load,
        _counters("torchvision"),
    ),
    ExportTarget(
        "lukemelas",
        "lukemelas",
        _lukemelas_obstacles,
        lambda donor, resolution: TargetConventions(
            "same", 1e-3, "swish", f"efficientnet-{donor.spec.variant}", resolution
        ),
        _lukemelas_load,
        _counters("lukemelas"),
    ),
    ExportTarget(
        "transformers",
        "transformers",
        _transformers_obstacles,
        _transformers_conventions,
        lambda donor, plan, path: (
            f"transformers.EfficientNetForImageClassification.from_pretrained('{path}')"
        ),
        _counters("transformers"),
        _transformers_sidecars,
        takes_folder=True,
        needs_folder=True,
    ),
    ExportTarget(
        "safetensors",
        "canonical",
        lambda donor: [],
        _safetensors_conventions,
        lambda donor, plan, path: f"efn_compose.convert('{path}')",
        only_safetensors=True,
    ),
)

#: Targets by name; Keras' are in `converters.keras_export`.
TARGETS: dict[str, ExportTarget] = {target.name: target for target in _ALL}
