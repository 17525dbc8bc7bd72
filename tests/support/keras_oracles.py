"""Small networks of Keras libraries with weights that make a parity test mean something."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def pixels(height: int = 64, width: int = 64, count: int = 3, seed: int = 5) -> np.ndarray:
    """Return smooth random images (image, height, width, 3), float32, 0-255."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(count, 6, 6, 3))
    rows = np.linspace(0, 5, height)[:, None] - np.arange(6)[None, :]
    columns = np.linspace(0, 5, width)[:, None] - np.arange(6)[None, :]
    weights = [np.clip(1 - np.abs(axis), 0, None) for axis in (rows, columns)]
    image = np.einsum("hi,nijc,wj->nhwc", weights[0], coarse, weights[1]) * 50 + 128
    return np.clip(image + rng.normal(size=image.shape) * 15, 0, 255).astype(np.float32)


def all_layers(model: Any) -> Iterator[Any]:
    """Yield the layers of a model and of the models and blocks inside it."""
    for layer in model._flatten_layers(include_self=False):
        if not list(getattr(layer, "layers", [])):
            yield layer


def randomise(model: Any, images: np.ndarray, seed: int = 0) -> None:
    """Give a model random weights, BatchNorm statistics of real activations, then perturb those.

    All values are representable in float32, whatever the model's type.
    """
    rng = np.random.default_rng(seed)
    norms = [
        layer for layer in all_layers(model) if getattr(layer, "moving_variance", None) is not None
    ]
    for variable in model.weights:
        values = np.asarray(variable)
        name = variable.name.rpartition("/")[2].removesuffix(":0")
        if name in ("kernel", "depthwise_kernel"):
            is_depthwise = values.ndim == 4 and values.shape[3] == 1
            fan = np.prod(values.shape[:2] if is_depthwise else values.shape[:-1])
            variable.assign(np.float32(rng.normal(size=values.shape) * np.sqrt(2 / fan)))
        elif name == "gamma":
            variable.assign(np.float32(rng.uniform(0.6, 1.4, values.shape)))
        elif name in ("beta", "bias"):
            variable.assign(np.float32(rng.normal(size=values.shape) * 0.2))
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(images, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
        shift = rng.normal(size=mean.shape) * 0.1 * np.sqrt(variance)
        layer.moving_mean.assign(np.float32(mean + shift))
        factor = rng.uniform(0.8, 1.25, variance.shape)
        floor = 0.1 * variance.mean() + 1e-3
        layer.moving_variance.assign(np.float32(variance * factor + floor))


def relative_error(values: np.ndarray, reference: np.ndarray) -> float:
    """Return the largest difference in units of the reference's standard deviation."""
    reference = np.asarray(reference, np.float64)
    return float(np.abs(np.asarray(values, np.float64) - reference).max() / reference.std())


def log_softmax_error(logits: np.ndarray, reference: np.ndarray) -> float:
    """Return the relative error up to a constant per image, as a softmax leaves it."""

    def centred(values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, np.float64)
        return values - values.mean(axis=-1, keepdims=True)

    return relative_error(centred(logits), centred(reference))


def forget_names(path: Any) -> None:
    """Remove layer names from a `.weights.h5`, as tf-keras and early Keras 3 leave them out."""
    import h5py

    def forget(_: str, node: Any) -> None:
        if "name" in node.attrs:
            del node.attrs["name"]

    with h5py.File(path, "a") as file:
        file.visititems(forget)
