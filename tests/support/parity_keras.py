"""Networks of the Keras libraries, and ONNX exports, for the parity table: a file, its inputs, its logits.

Each library's network is built in float64 where it can be, with values that float32
holds exactly, so that one file serves both precisions.
"""

import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from keras_oracles import log_softmax_error, pixels, randomise, relative_error

SIDE = 64


@dataclass(frozen=True)
class Made:
    """A file with what its own library computes.

    Args:
        path: The file.
        inputs: What our network is fed, preprocessed.
        double: The library's logits in float64, None where it cannot.
        single: The library's logits in float32.
        library: Name and version.
        options: For `convert`.
        error: How logits are compared.
    """

    path: Path
    inputs: np.ndarray
    double: np.ndarray | None
    single: np.ndarray
    library: str
    options: dict[str, Any] = field(default_factory=dict)
    error: Callable[[np.ndarray, np.ndarray], float] = relative_error


@contextlib.contextmanager
def float64(keras: Any) -> Iterator[None]:
    """Build Keras layers in float64."""
    before = keras.backend.floatx()
    keras.backend.set_floatx("float64")
    policy = getattr(keras, "config", keras.mixed_precision)
    get = getattr(policy, "dtype_policy", None) or policy.global_policy
    put = getattr(policy, "set_dtype_policy", None) or policy.set_global_policy
    old = get()
    put("float64")
    try:
        yield
    finally:
        keras.backend.set_floatx(before)
        put(old)


def in_double(keras: Any, build: Callable[[], Any], single: Any) -> Any:
    """Return a network like another one in float64, with the values of that one."""
    with float64(keras):
        double = build()
        double.set_weights(single.get_weights())
    return double


def _logits(model: Any, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(images, training=False))


def stem_inputs(keras: Any, model: Any, images: np.ndarray) -> np.ndarray:
    """Return what a model feeds its stem: its own input scaling, whose constants are float32."""
    stem = next(layer for layer in model.layers if layer.name in ("stem_conv_pad", "stem_conv"))
    return np.asarray(keras.Model(model.input, stem.input)(images, training=False))


def keras_applications(library: str, variant: str) -> Callable[[Path], Made]:
    """Return a maker of a narrow network of keras.applications or tf_keras.applications."""

    def make(folder: Path) -> Made:
        from keras_applications_networks import build
        from keras_applications_networks import library as load

        keras = load(library)[0]
        images = np.floor(pixels(SIDE, SIDE))
        single = build(library, variant)
        with float64(keras):
            double = build(library, variant)
            randomise(single, images, seed=3)
            double.set_weights(single.get_weights())
            logits = _logits(double, np.float64(images))
            inputs = stem_inputs(keras, double, np.float64(images))
        path = folder / "net.weights.h5"
        single.save_weights(path)
        return Made(
            path,
            inputs,
            logits,
            _logits(single, images),
            f"{library} {version(library)}",
            {} if variant.startswith("b") else {"arch": variant},
        )

    return make


def qubvel(width: float, depth: float) -> Callable[[Path], Made]:
    """Return a maker of a narrow network of qubvel/efficientnet, which ends in a softmax."""

    def make(folder: Path) -> Made:
        import keras
        from efficientnet import inject_tfkeras_modules
        from efficientnet.model import EfficientNet

        def build() -> Any:
            network = inject_tfkeras_modules(EfficientNet)
            shape = (SIDE, SIDE, 3)
            return network(width, depth, SIDE, weights=None, input_shape=shape, classes=7)

        network = build()
        inputs = (pixels(SIDE, SIDE) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        randomise(network, np.float32(inputs))
        path = folder / "net.weights.h5"
        network.save_weights(path)
        probabilities = np.float64(_logits(network, np.float32(inputs)))
        return Made(
            path,
            inputs,
            np.log(_logits(in_double(keras, build, network), inputs)),
            np.log(probabilities),
            f"efficientnet {version('efficientnet')}",
            error=log_softmax_error,
        )

    return make


def keras_cv(kind: str, width: float, depth: float) -> Callable[[Path], Made]:
    """Return a maker of a small keras-cv backbone; its features are pooled."""

    def make(folder: Path) -> Made:
        import keras
        from keras_cv_networks import backbone

        def build() -> Any:
            return backbone(kind, width=width, depth=depth)

        network = build()
        images = pixels(SIDE, SIDE)
        randomise(network, images)
        path = folder / "net.weights.h5"
        network.save_weights(path)
        twice = in_double(keras, build, network)
        inputs = stem_inputs(keras, twice, np.float64(images))
        single = _logits(network, images).mean(axis=(1, 2))
        # The blocks of V2 lose half of the digits even so, and we have not found where.
        double = _logits(twice, np.float64(images)).mean(axis=(1, 2)) if kind == "lite" else None
        options = {"arch": f"v2-b-w{width}-d{depth}"} if kind == "v2" else {}
        return Made(path, inputs, double, single, f"keras_cv {version('keras-cv')}", options)

    return make


def keras_hub(width: float, depth: float) -> Callable[[Path], Made]:
    """Return a maker of a small keras-hub classifier."""

    def make(folder: Path) -> Made:
        import keras
        from keras_hub_networks import backbone, classifier, scaled

        def build() -> Any:
            return classifier(
                backbone(
                    stackwise_width_coefficients=[width] * 7,
                    stackwise_depth_coefficients=[depth] * 7,
                )
            )

        network = build()
        inputs = scaled(pixels(SIDE, SIDE))
        randomise(network, inputs)
        path = folder / "net.keras"
        network.save(path)
        double = _logits(in_double(keras, build, network), np.float64(inputs))
        library = f"keras_hub {version('keras-hub')}"
        return Made(path, inputs, double, _logits(network, inputs), library)

    return make


def keras_efficientnet_v2(name: str) -> Callable[[Path], Made]:
    """Return a maker of a nano network of keras_efficientnet_v2, in a process of its own.

    The library's classifier is float32 whatever the policy: no float64 figure.
    """

    def make(folder: Path) -> Made:
        if importlib.util.find_spec("keras_efficientnet_v2") is None:
            raise ImportError("keras_efficientnet_v2 is not installed")
        script = Path(__file__).parent / "keras_efficientnet_v2_oracle.py"
        subprocess.run([sys.executable, script, folder, name], check=True, capture_output=True)
        with np.load(folder / f"{name}.npz") as recorded:
            inputs, logits = recorded["inputs"], recorded["logits"]
        library = f"keras_efficientnet_v2 {version('keras-efficientnet-v2')}"
        return Made(folder / f"{name}.keras", inputs, None, logits, library)

    return make


def onnx(name: str, variant: str, arch: str) -> Callable[[Path], Made]:
    """Return a maker of an ONNX export of a timm network, whose BatchNorm is folded away."""

    def make(folder: Path) -> Made:
        import torch
        from lab.random_checkpoints import random_network

        from converters.oracles.torch_models import Wanted
        from converters.oracles.torch_side import run_torch
        from efn_compose.arch import arch_spec

        model = random_network("timm", Wanted(arch_spec(variant), name))
        path = folder / "net.onnx"
        torch.onnx.export(model.eval(), torch.zeros(1, 3, SIDE, SIDE), path, dynamo=False)
        inputs = np.float64(pixels(SIDE, SIDE)) / 64 - 2
        run = run_torch(model)
        # The folded weights are rounded to float32 by the exporter: no float64 figure.
        single = run(np.float32(inputs), "float32")
        return Made(path, inputs, None, single, f"timm, torch {version('torch')}", {"arch": arch})

    return make


CASES: tuple[tuple[str, Callable[[Path], Made]], ...] = (
    ("V1 table, width 0.1, depth 0.3", keras_applications("keras", "b-w0.1-d0.3")),
    ("V1 table, width 0.25, depth 1.1", keras_applications("keras", "b-w0.25-d1.1")),
    ("V2-B table, width 0.1, depth 0.3", keras_applications("keras", "v2-b-w0.1-d0.3")),
    ("V2-B table, width 0.25, depth 1.2", keras_applications("keras", "v2-b-w0.25-d1.2")),
    ("V1 table, width 0.1, depth 0.3", keras_applications("tf_keras", "b-w0.1-d0.3")),
    ("V1 table, width 0.25, depth 1.1", keras_applications("tf_keras", "b-w0.25-d1.1")),
    ("V2-B table, width 0.1, depth 0.3", keras_applications("tf_keras", "v2-b-w0.1-d0.3")),
    ("V1 table, width 0.1, depth 0.3, log-softmax", qubvel(0.1, 0.3)),
    ("V1 table, width 0.25, depth 1.1, log-softmax", qubvel(0.25, 1.1)),
    ("Lite table, depth 0.3, pooled features", keras_cv("lite", 1.0, 0.3)),
    ("Lite table, depth 1.1, pooled features", keras_cv("lite", 1.0, 1.1)),
    ("V2-B table, width 0.1, depth 0.3, pooled features", keras_cv("v2", 0.1, 0.3)),
    ("V1 table, width 0.1, depth 0.3", keras_hub(0.1, 0.3)),
    ("V1 table, width 0.25, depth 1.1", keras_hub(0.25, 1.1)),
    ("V1 table, width 0.1, depth 0.3", keras_efficientnet_v2("v1")),
    ("V1 table, width 0.25, depth 1.1", keras_efficientnet_v2("deep")),
    ("V2 table, nano widths", keras_efficientnet_v2("v2")),
    ("V2 table, nano widths, torch mode", keras_efficientnet_v2("torch")),
    (
        "export of timm efficientnet_b0, width 0.25",
        onnx("efficientnet_b0", "b-w0.25-d0.4", "efficientnet_b0.ra_in1k"),
    ),
    (
        "export of timm tf_efficientnetv2_b0, width 0.25",
        onnx("tf_efficientnetv2_b0", "v2-b-w0.25-d0.4", "tf_efficientnetv2_b0.in1k"),
    ),
)
