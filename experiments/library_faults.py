"""How far other libraries' own EfficientNets stray from what their weights were trained as.

Command:   python experiments/library_faults.py
Needs:     pip install -e .[parity]
Expected:  about two minutes; writes experiments/results/library_faults.md
Result:    each fault above 1e-2, each control at float32 rounding (below 1e-3)

Full-size networks with random weights, BatchNorm statistics calibrated and then perturbed.
Nothing of our converters takes part: every figure compares a library with itself or with
another, and beside it stands the same comparison without the fault.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "experiments" / "results" / "library_faults.md"
sys.path.insert(0, str(ROOT / "tests" / "support"))
IMAGENET_STD = (0.229, 0.224, 0.225)
FAULT_FLOOR = 1e-2
ROUNDING = 1e-3


@dataclass(frozen=True)
class Fault:
    """A measured fault: largest difference over the reference's standard deviation."""

    library: str
    what: str
    error: float
    control: str
    control_error: float

    @property
    def is_shown(self) -> bool:
        """Whether the fault is seen, and is seen to be the cause."""
        return self.error > FAULT_FLOOR and self.control_error < ROUNDING

    def markdown(self) -> str:
        return (
            f"| {self.library} | {self.what} | {self.error:.2g} | {self.control} | "
            f"{self.control_error:.1e} |"
        )


def difference(values: Any, reference: Any) -> float:
    values, reference = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    return float(np.abs(values - reference).max() / reference.std())


def keras_cv_projection_activation() -> Fault:
    """keras-cv's V1 backbone against keras.applications' with the same weights."""
    import keras
    from keras_applications_networks import build, set_normalization
    from keras_cv_networks import backbone
    from keras_oracles import pixels, randomise

    network = backbone("v1", width=1.0, depth=1.0)
    images = pixels(64, 64)
    randomise(network, pixels(seed=1, count=8))
    reference = build("keras", "b0", include_top=False)
    weighted = [layer for layer in network.layers if layer.weights]
    targets = [layer for layer in reference.layers if layer.weights][1:]
    for source, target in zip(weighted, targets, strict=True):
        target.set_weights(source.get_weights())
    # keras-cv only divides by 255.
    set_normalization(reference, np.zeros(3), np.ones(3))
    wanted = reference(images, training=False)
    error = difference(network(images, training=False), wanted)
    for layer in network.layers:
        if layer.name.endswith("project_activation"):
            layer.activation = keras.activations.linear
    return Fault(
        f"keras-cv {version('keras-cv')}",
        "V1 backbone: an activation after every projection (B0, features)",
        error,
        "the same network, that activation made linear",
        difference(network(images, training=False), wanted),
    )


class _Weights:
    """What keras-hub's own converter reads timm's tensors from."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def port_weight(
        self, keras_variable: Any, hf_weight_key: str, hook_fn: Callable | None = None
    ) -> None:
        values = self.state[hf_weight_key].numpy()
        keras_variable.assign(hook_fn(values, keras_variable.shape) if hook_fn else values)


def keras_hub_edge_stride() -> Fault:
    """keras-hub's ES, converted by keras-hub's own code, against timm's."""
    import timm
    import torch
    from keras_hub.src.models.efficientnet.efficientnet_backbone import EfficientNetBackbone
    from keras_hub.src.utils.timm import convert_efficientnet
    from keras_oracles import pixels
    from lab.random_checkpoints import settle

    torch.manual_seed(0)
    model = timm.create_model("efficientnet_es", num_classes=0)
    settle(model)
    config = {"architecture": "efficientnet_es"}
    network = EfficientNetBackbone(
        **{
            **convert_efficientnet.convert_backbone_config(config),
            "input_shape": (None, None, 3),
        }
    )
    convert_efficientnet.convert_weights(network, _Weights(model.state_dict()), config)

    def error(side: int) -> float:
        images = pixels(side, side) / 64 - 2
        with torch.no_grad():
            batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float()
            wanted = model.forward_features(batch).permute(0, 2, 3, 1).numpy()
        return difference(network(images, training=False), wanted)

    return Fault(
        f"keras-hub {version('keras-hub')}",
        "EdgeTPU ES from timm by keras-hub's own converter, 96 pixels (features)",
        error(96),
        "97 pixels, where both paddings are one",
        error(97),
    )


def keras_imagenet_saved_again() -> Fault:
    """`weights="imagenet"` saved and loaded by path, as the library's own code does both."""
    import keras
    from keras.src.applications import efficientnet
    from keras_applications_networks import set_normalization
    from keras_oracles import pixels, randomise

    mean = (0.485, 0.456, 0.406)
    images = pixels(224, 224)
    hosted = keras.applications.EfficientNetB0(weights=None, classifier_activation=None)
    randomise(hosted, images)
    # What the hosted file holds: a standard deviation where the variance belongs.
    set_normalization(hosted, mean, IMAGENET_STD)
    with tempfile.TemporaryDirectory() as folder:
        file, again, right = (Path(folder) / f"{name}.weights.h5" for name in "abc")
        hosted.save_weights(file)
        with mock.patch.object(efficientnet.file_utils, "get_file", return_value=str(file)):
            model = keras.applications.EfficientNetB0(
                weights="imagenet", classifier_activation=None
            )
        wanted = model(images, training=False)
        model.save_weights(again)
        set_normalization(hosted, mean, np.square(IMAGENET_STD))
        hosted.save_weights(right)
        by_path = [
            keras.applications.EfficientNetB0(weights=str(path), classifier_activation=None)
            for path in (again, right)
        ]
        errors = [difference(other(images, training=False), wanted) for other in by_path]
    return Fault(
        f"keras.applications {version('keras')}",
        'B0 of `weights="imagenet"`, saved, loaded by path',
        errors[0],
        "a file with the variance in its place, as we write it",
        errors[1],
    )


def keras_open_input_shape() -> Fault:
    """keras.applications built for any size, at a size whose stages are odd."""
    import keras
    from keras_oracles import pixels, randomise

    fixed = keras.applications.EfficientNetB0(
        weights=None, include_top=False, pooling="avg", input_shape=(225, 225, 3)
    )
    anysize = keras.applications.EfficientNetB0(
        weights=None, include_top=False, pooling="avg", input_shape=(None, None, 3)
    )
    randomise(fixed, pixels(225, 225))
    anysize.set_weights(fixed.get_weights())
    even = keras.applications.EfficientNetB0(
        weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )
    even.set_weights(fixed.get_weights())

    def error(reference: Any, side: int) -> float:
        images = pixels(side, side)
        wanted = reference(images, training=False)
        return difference(anysize(images, training=False), wanted)

    return Fault(
        f"keras.applications {version('keras')}",
        "B0 with `input_shape=(None, None, 3)`, 225 pixels (pooled features)",
        error(fixed, 225),
        "224 pixels",
        error(even, 224),
    )


def _torch_pair(
    library: str, what: str, faulty: Any, reference: Any, sides: tuple[int, int]
) -> Fault:
    from keras_oracles import pixels

    from converters.oracles.torch_side import run_torch

    faulty.load_state_dict(reference.state_dict(), strict=False)

    def error(side: int) -> float:
        images = pixels(side, side) / 64 - 2
        return difference(
            run_torch(faulty)(images, "float32"), run_torch(reference)(images, "float32")
        )

    return Fault(library, what, error(sides[0]), f"{sides[1]} pixels", error(sides[1]))


def lukemelas_fixed_padding() -> Fault:
    """efficientnet_pytorch built for 224, run at 225, against its own dynamic padding."""
    from efficientnet_pytorch import EfficientNet
    from lab.random_checkpoints import random_network

    from converters.oracles.torch_models import Wanted
    from efn_compose.arch import arch_spec

    reference = random_network("lukemelas", Wanted(arch_spec("b0"), classes=100))
    faulty = EfficientNet.from_name("efficientnet-b0", num_classes=100)
    return _torch_pair(
        f"efficientnet_pytorch {version('efficientnet_pytorch')}",
        "B0 as `from_name` builds it (for 224), 225 pixels",
        faulty,
        reference,
        (225, 224),
    )


def transformers_fixed_padding() -> Fault:
    """transformers' B0 at 225 against efficientnet_pytorch's dynamic padding."""
    from keras_oracles import pixels
    from lab.random_checkpoints import random_network, write_checkpoint

    from converters import convert
    from converters.oracles.torch_models import NETWORKS, Wanted
    from converters.oracles.torch_side import run_torch
    from efn_compose.arch import arch_spec
    from efn_compose.checkpoints.dialects.layouts import LAYOUTS

    wanted = Wanted(arch_spec("b0"), classes=100)
    model = random_network("transformers", wanted)
    from converters import CONVERTERS

    reference = NETWORKS["lukemelas"](wanted)
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        donor = convert(write_checkpoint(model, Path(folder) / "model.safetensors")).donor
    import torch

    state = {
        row.foreign: torch.from_numpy(LAYOUTS[row.layout].to_foreign(donor.tensors[row.canonical]))
        for row in CONVERTERS["lukemelas"].rows(donor.spec, 100, None)
    }
    reference.load_state_dict({**reference.state_dict(), **state})

    def error(side: int) -> float:
        images = pixels(side, side) / 64 - 2
        return difference(
            run_torch(model)(images, "float32"), run_torch(reference)(images, "float32")
        )

    return Fault(
        f"transformers {version('transformers')}",
        "B0 of the 224-pixel configuration, 225 pixels",
        error(225),
        "224 pixels",
        error(224),
    )


FAULTS = (
    keras_cv_projection_activation,
    keras_hub_edge_stride,
    keras_imagenet_saved_again,
    keras_open_input_shape,
    lukemelas_fixed_padding,
    transformers_fixed_padding,
)


def measured() -> Iterator[Fault]:
    for measure in FAULTS:
        fault = measure()
        print(fault.markdown(), file=sys.stderr)
        yield fault


def main() -> int:
    """Measure, write the report, return 0 if every fault and every control is as stated."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    import keras

    keras.utils.set_random_seed(0)  # Drop-connect runs while statistics are calibrated.
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    faults = list(measured())
    shown = sum(fault.is_shown for fault in faults)
    text = [
        "# Faults of other libraries, measured",
        "",
        f"Made by `python experiments/library_faults.py`; {shown} of {len(faults)} shown, each with a",
        "control that differs in nothing but the fault. Largest difference of an output (a logit unless it",
        "says features) over the outputs' standard deviation; random weights, statistics calibrated and then",
        f"perturbed. Shown means an error above {FAULT_FLOOR:g} and a control at float32 rounding, below",
        f"{ROUNDING:g}.",
        "",
        "| library | what it does | error | control | error of the control |",
        "|---|---|---|---|---|",
        *(fault.markdown() for fault in faults),
        "",
    ]
    options.output.write_text("\n".join(text), encoding="utf-8")
    print(f"written: {options.output}", file=sys.stderr)
    return 0 if shown == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main())
