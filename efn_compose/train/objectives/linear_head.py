"""A minimal head: pooling, dropout, one linear layer (and more before it, for comparison)."""

from typing import Any

import keras
import numpy as np
from keras import layers

from efn_compose.arch import HEAD_LAYER
from efn_compose.donors import Donor
from efn_compose.numerics.class_means import class_mean_head
from efn_compose.train.engine.fresh import fresh_kernel, head_generator
from efn_compose.train.options import TrainOptions


def linear_head(maps: Any, width: int, options: TrainOptions) -> Any:
    """Return outputs (image, width) of a head on the last feature map.

    Args:
        maps: The feature map, a Keras tensor.
        width: Of the last layer, which is named as a weight file's classifier.
        options: Pooling, dropout, further layers.
    """
    features = _pooled(maps, options.pooling)
    for number, units in enumerate(options.hidden_units):
        features = layers.Dense(units, activation="relu", name=f"hidden{number + 1}")(features)
    if options.dropout:
        features = layers.Dropout(options.dropout, name="dropout")(features)
    return layers.Dense(width, name=HEAD_LAYER)(features)


def _pooled(maps: Any, pooling: str) -> Any:
    average = layers.GlobalAveragePooling2D(name="pool")(maps)
    if pooling == "avg":
        return average
    largest = layers.GlobalMaxPooling2D(name="pool_max")(maps)
    return layers.Concatenate(name="pool_both")([average, largest])


def draw_head(model: keras.Model, donor: Donor, seed: int) -> None:
    """Give each layer of the head the donor's weights where they fit, else drawn ones."""
    generator = head_generator(seed)
    for layer in head_layers(model):
        kernel, bias = layer.kernel, layer.bias
        if _is_of(donor, layer):
            kernel.assign(donor.tensors[f"{layer.name}/kernel"])
            bias.assign(donor.tensors[f"{layer.name}/bias"])
            continue
        kernel.assign(fresh_kernel(kernel.shape, generator))
        bias.assign(np.zeros(bias.shape))


def brings_head(model: keras.Model, donor: Donor) -> bool:
    """Return whether the donor's classifier is taken over."""
    return _is_of(donor, head_layers(model)[-1])


def _is_of(donor: Donor, layer: keras.layers.Dense) -> bool:
    kept = donor.tensors.get(f"{layer.name}/kernel")
    return kept is not None and kept.shape == tuple(layer.kernel.shape)


def start_at_class_means(model: keras.Model, features: np.ndarray, targets: np.ndarray) -> None:
    """Let the last linear layer prefer the class whose mean lies nearest.

    Args:
        model: A network with a linear head.
        features: (image, feature) that the layer reads.
        targets: (image, class), shares of each image's label.
    """
    fit, layer = class_mean_head(features, targets), head_layers(model)[-1]
    layer.kernel.assign(fit.kernel.astype(np.float32))
    layer.bias.assign(fit.bias.astype(np.float32))


def head_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """Return the layers behind the pooling that have weights, the last linear one last."""
    return [layer for layer in model.layers if isinstance(layer, layers.Dense)]


def head_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Return kernel and bias of all layers behind the pooling, by layer and role."""
    return {
        f"{layer.name}/{role}": np.array(getattr(layer, role).numpy())
        for layer in head_layers(model)
        for role in ("kernel", "bias")
    }


def is_file_head(model: keras.Model) -> bool:
    """Return whether the head is the one that weight files describe: average, then one linear layer."""
    names = {layer.name for layer in model.layers}
    return "pool_both" not in names and len(head_layers(model)) == 1
