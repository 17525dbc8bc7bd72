"""The PyTorch libraries that a donor can be written for."""

from pathlib import Path
from typing import Any

from converters.transformers import depthwise_padding
from converters.writing.export_target import (
    ExportTarget,
    TargetConventions,
    counters,
    first_blocks_add,
    is_own_network,
    needs,
    torch_load,
)
from converters.writing.export_timm import TIMM
from converters.writing.export_torchvision import TORCHVISION
from efn_compose.arch import VARIANTS
from efn_compose.donors import Donor

# lukemelas


def _lukemelas_obstacles(donor: Donor) -> list[str]:
    spec = donor.spec
    problems = []
    if not is_own_network(spec, "b"):
        problems.append(needs("efficientnet_pytorch", "b0-b8, l2 and other coefficients", spec))
    elif first_blocks_add(spec):
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
    return f"model = {build}; model.load_state_dict({torch_load(path)})"


# transformers


def _transformers_obstacles(donor: Donor) -> list[str]:
    spec = donor.spec
    problems = []
    if not is_own_network(spec, "b"):
        problems.append(needs("transformers", "V1 networks", spec))
    elif first_blocks_add(spec):
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
    TIMM,
    TORCHVISION,
    ExportTarget(
        "lukemelas",
        "lukemelas",
        _lukemelas_obstacles,
        lambda donor, resolution: TargetConventions(
            "same", 1e-3, "swish", f"efficientnet-{donor.spec.variant}", resolution
        ),
        _lukemelas_load,
        counters("lukemelas"),
    ),
    ExportTarget(
        "transformers",
        "transformers",
        _transformers_obstacles,
        _transformers_conventions,
        lambda donor, plan, path: (
            f"transformers.EfficientNetForImageClassification.from_pretrained({str(path)!r})"
        ),
        counters("transformers"),
        _transformers_sidecars,
        takes_folder=True,
        needs_folder=True,
        fixes_padding=True,
    ),
    ExportTarget(
        "safetensors",
        "canonical",
        lambda donor: [],
        _safetensors_conventions,
        lambda donor, plan, path: f"efn_compose.convert({str(path)!r})",
        only_safetensors=True,
    ),
)

#: Targets by name; Keras' are in `converters.writing.keras_export`.
TARGETS: dict[str, ExportTarget] = {target.name: target for target in _ALL}
