"""Oracles that run on Keras: the libraries' own networks with a checkpoint's own tensors.

Tensors go to layers by the names in the file, so that nothing of our name
tables is involved. A network is built for each size and type, since V1 fixes its
padding when it is built.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from converters.keras_applications import HOSTED_VARIANCE, SCALED_NAMES, is_v2
from converters.oracles import NoOracleError, Oracle
from efn_compose.arch import ArchSpec, base_of
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.keras.keras_scaling import normalization_weights
from efn_compose.donors import Donor

#: Builds a library's network for (height, width, 3).
Build = Callable[[tuple[int, int, int]], Any]


def applications_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return the network of `keras.applications` with a checkpoint's tensors."""
    spec, classes = donor.spec, _classes(donor)
    _require_scaled(spec, tuple(SCALED_NAMES))

    def build(shape: tuple[int, int, int]) -> Any:
        from keras.src.applications import efficientnet, efficientnet_v2

        options = {
            "weights": None,
            "input_shape": shape,
            "classes": classes,
            "classifier_activation": None,
        }
        if not is_v2(spec):
            return efficientnet.EfficientNet(spec.width, spec.depth, shape[0], **options)
        # The block table is looked up by this name: "efficientnetv2-s".
        name = SCALED_NAMES[base_of(spec) or ""]
        return efficientnet_v2.EfficientNetV2(
            spec.width,
            spec.depth,
            shape[0],
            name=name,
            include_preprocessing=False,
            **options,
        )

    first = "stem_conv" if is_v2(spec) else "stem_conv_pad"
    return Oracle(
        library=f"keras.applications of keras {version('keras')}",
        run=_runner(build, raw, first, "predictions"),
        preprocess=_v1_scaling(build, raw) if not is_v2(spec) else None,
    )


def qubvel_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return the network of qubvel's `efficientnet` with a checkpoint's tensors."""
    spec, classes = donor.spec, _classes(donor)
    _require_scaled(spec, ("b",))

    def build(shape: tuple[int, int, int]) -> Any:
        import efficientnet.tfkeras  # noqa: F401  (registers the custom objects)
        from efficientnet import inject_tfkeras_modules
        from efficientnet.model import EfficientNet

        return inject_tfkeras_modules(EfficientNet)(
            spec.width, spec.depth, shape[0], weights=None, input_shape=shape, classes=classes
        )

    return Oracle(
        library=f"efficientnet {version('efficientnet')}",
        run=_runner(build, raw, "stem_conv", "probs"),
    )


def _classes(donor: Donor) -> int:
    if donor.classes is None:
        raise NoOracleError("The file has no classifier, so there are no logits to compare.")
    return donor.classes


def _require_scaled(spec: ArchSpec, bases: tuple[str, ...]) -> None:
    if base_of(spec) not in bases:
        raise NoOracleError(f"The library builds no network {spec.variant!r} ({spec.family}).")


def _runner(
    build: Build, raw: RawCheckpoint, first: str, head: str
) -> Callable[[np.ndarray, str], np.ndarray]:
    """Return a function from preprocessed images and a dtype to logits."""

    # One is kept: two of the largest networks would not fit beside each other.
    @lru_cache(maxsize=1)
    def built(height: int, width: int, dtype: str) -> Any:
        import keras

        model = build((height, width, 3))
        _assign(model, raw)
        # The library's own logits, before a softmax and behind its input scaling.
        model.get_layer(head).activation = keras.activations.linear
        return keras.Model(model.get_layer(first).input, model.output)

    def run(images: np.ndarray, dtype: str) -> np.ndarray:
        with _precision(dtype):
            network = built(*images.shape[1:3], dtype)
            return np.asarray(network(images.astype(dtype), training=False))

    return run


def _assign(model: Any, raw: RawCheckpoint) -> None:
    """Give a Keras model a checkpoint's tensors by layer and weight name; all or an error."""
    missing = []
    for layer in model.layers:
        is_scaling = type(layer).__name__ == "Normalization"
        for weight in () if is_scaling else layer.weights:
            names = [f"{layer.name}/{weight.name}", f"{layer.name}/depthwise_{weight.name}"]
            tensor = next((raw.tensors[name] for name in names if name in raw.tensors), None)
            if "seed" in weight.name:
                continue
            if tensor is None or tuple(tensor.shape) != tuple(weight.shape):
                missing.append(names[0])
            else:
                weight.assign(tensor.load().astype(np.float32))
    if missing:
        raise NoOracleError(
            f"The library's network lacks or shapes otherwise: {', '.join(missing[:8])}"
        )


def _v1_scaling(build: Build, raw: RawCheckpoint) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the library's own input layers with the file's values, or None where it adds others."""
    found = normalization_weights(raw)
    if found is None or np.allclose(found[1], HOSTED_VARIANCE, atol=1e-3):
        # Hosted files are corrected by a layer that only weights="imagenet" inserts.
        return None

    def scale(images: np.ndarray) -> np.ndarray:
        import keras

        model = build((*images.shape[1:3], 3))
        layer = next(x for x in model.layers if type(x).__name__ == "Normalization")
        mean, variance = (np.float32(values) for values in found)
        layer.set_weights([mean, variance, np.asarray(0, np.int64)])
        layer.finalize_state()
        front = keras.Model(model.input, model.get_layer("stem_conv_pad").input)
        return np.asarray(front(images.astype(np.float32)))

    return scale


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """Build and run Keras layers in a type, then restore the former."""
    import keras

    policy, kind = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(dtype)
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_floatx(kind)
