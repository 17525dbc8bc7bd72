"""A donor's backbone under a minimal head, from preprocessed pixels to logits."""

from typing import Any

import keras
import numpy as np
from keras import layers

from efn_compose.arch import HEAD_LAYER
from efn_compose.donors import Donor
from efn_compose.models import build_model, model_variables
from efn_compose.train.recipe.options import TrainOptions


def build_network(donor: Donor, classes: int, options: TrainOptions) -> keras.Model:
    """Build the network that is trained: a donor's backbone, pooling, dropout, one linear layer.

    Its weights are fresh; `start` gives it a donor's.

    Args:
        donor: Names the network and how its weights want to be run.
        classes: Width of the classifier.
        options: Pooling, dropout, precision; what is frozen.

    Returns:
        A functional model from preprocessed pixels, any size; its layers have canonical names.

    Example:
        >>> model = build_network(load_donor("magic.h5"), 10, TrainOptions())  # doctest: +SKIP
        >>> start(model, load_donor("magic.h5"), seed=1)  # doctest: +SKIP
    """
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(options.precision)
        backbone = build_model(
            donor.spec,
            donor.conventions,
            include_top=False,
            drop_connect=options.drop_connect,
        )
        features = _pooled(backbone.output, options.pooling)
        for number, units in enumerate(options.hidden_units):
            features = layers.Dense(units, activation="relu", name=f"hidden{number + 1}")(features)
        if options.dropout:
            features = layers.Dropout(options.dropout, name="dropout")(features)
        logits = layers.Dense(classes, name=HEAD_LAYER)(features)
    finally:
        keras.config.set_dtype_policy(policy)
    if options.frozen_backbone:
        for layer in backbone.layers:
            layer.trainable = False
    return keras.Model(backbone.input, logits, name=backbone.name)


def start(model: keras.Model, donor: Donor, seed: int) -> None:
    """Give a network a donor's weights, a classifier and dropout masks, whatever it had before.

    A classifier of the donor is taken over where it fits, else a fresh one is drawn
    (Glorot uniform, bias 0).

    Args:
        model: From `build_network`.
        donor: Weights of that network.
        seed: Decides a fresh classifier and the masks.
    """
    for name, variable in model_variables(model, donor.spec, None).items():
        variable.assign(donor.tensors[name])
    _draw_head(model, donor, seed)
    for number, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign([(seed + 7919 * number) % (1 << 31), 0])


def _pooled(maps: Any, pooling: str) -> Any:
    average = layers.GlobalAveragePooling2D(name="pool")(maps)
    if pooling == "avg":
        return average
    largest = layers.GlobalMaxPooling2D(name="pool_max")(maps)
    return layers.Concatenate(name="pool_both")([average, largest])


def _draw_head(model: keras.Model, donor: Donor, seed: int) -> None:
    generator = np.random.default_rng([seed, 1])
    for layer in head_layers(model):
        kernel, bias = layer.kernel, layer.bias
        kept = donor.tensors.get(f"{layer.name}/kernel")
        if kept is not None and kept.shape == tuple(kernel.shape):
            kernel.assign(kept)
            bias.assign(donor.tensors[f"{layer.name}/bias"])
            continue
        limit = np.sqrt(6.0 / sum(kernel.shape))
        kernel.assign(generator.uniform(-limit, limit, kernel.shape).astype(np.float32))
        bias.assign(np.zeros(bias.shape))


def head_layers(model: keras.Model) -> list[keras.layers.Dense]:
    """Return the layers behind the pooling that have weights, the classifier last."""
    return [layer for layer in model.layers if isinstance(layer, layers.Dense)]


def norm_variables(model: keras.Model, with_classifier: bool) -> list[Any]:
    """Return gamma and beta of every BatchNorm, and the classifier's weights where wanted."""
    found = [
        variable
        for layer in model.layers
        if isinstance(layer, layers.BatchNormalization)
        for variable in layer.trainable_variables
    ]
    return found + (head_layers(model)[-1].trainable_variables if with_classifier else [])


def trained_donor(model: keras.Model, donor: Donor) -> Donor:
    """Return a network's present weights as a donor.

    The classifier is part of it where it reads the pooled average, as a donor's
    classifier does; of other heads see `head_arrays`.
    """
    head = int(model.output_shape[-1]) if has_donor_head(model) else None
    variables = model_variables(model, donor.spec, head)
    tensors = {name: np.array(variable.numpy()) for name, variable in variables.items()}
    return donor.replace(tensors=tensors)


def has_donor_head(model: keras.Model) -> bool:
    """Whether the head is the one that weight files describe: average, then one linear layer."""
    names = {layer.name for layer in model.layers}
    return "pool_both" not in names and len(head_layers(model)) == 1


def head_arrays(model: keras.Model) -> dict[str, np.ndarray]:
    """Return kernel and bias of all layers behind the pooling, by layer and role."""
    return {
        f"{layer.name}/{role}": np.array(getattr(layer, role).numpy())
        for layer in head_layers(model)
        for role in ("kernel", "bias")
    }
