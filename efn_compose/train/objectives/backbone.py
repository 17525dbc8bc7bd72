"""The network below a head: a donor's backbone, its weights, and what learns in a warm-up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from efn_compose.arch.layer_names import TOP_CONV
from efn_compose.donors import Donor
from efn_compose.models import build_model, model_variables
from efn_compose.models.fast_layers import fast_layers
from efn_compose.models.standardised import StandardisedConv2D
from efn_compose.store.weights.parts import Part
from efn_compose.train.options import TrainOptions


@contextmanager
def precision_of(options: TrainOptions) -> Iterator[None]:
    """Build layers in here, so that their activations have the precision that is asked for."""
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(options.precision)
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def build_backbone(donor: Donor, options: TrainOptions) -> keras.Model:
    """Build a donor's backbone with fresh weights.

    Args:
        donor: Names the network and how its weights want to be run.
        options: Stochastic depth, and whether the backbone or its BatchNorm is frozen.

    Returns:
        A functional model from preprocessed pixels, any size, to the last feature map; its
        layers have canonical names.
    """
    kinds = fast_layers()
    if options.normalisation == "standardised":
        kinds = replace(kinds, conv=StandardisedConv2D)
    backbone = build_model(
        donor.spec,
        donor.conventions,
        include_top=False,
        drop_connect=options.drop_connect,
        kinds=kinds,
    )
    frozen = layers.BatchNormalization if options.normalisation == "frozen" else ()
    for layer in backbone.layers:
        if options.frozen_backbone or isinstance(layer, frozen):
            layer.trainable = False
    return backbone


def start_backbone(model: keras.Model, donor: Donor) -> None:
    """Give the backbone inside a network a donor's weights."""
    for name, variable in _variables(model, donor).items():
        variable.assign(donor.tensors[name])


def trained_donor(
    model: keras.Model,
    donor: Donor,
    kept: Mapping[str, np.ndarray],
    parts: Mapping[str, Part],
) -> Donor:
    """Return a network's present weights as a donor.

    Args:
        model: The network.
        donor: The backbone's description, and where its weights came from.
        kept: The head's tensors by canonical name, empty for none.
        parts: Further parts by name.
    """
    # Whatever the network ends before, such as the top below a decoder, stays the donor's.
    tensors = dict(donor.without_head().tensors)
    tensors |= {n: np.array(variable.numpy()) for n, variable in _variables(model, donor).items()}
    return donor.replace(tensors={**tensors, **kept}, parts=parts)


def _variables(model: keras.Model, donor: Donor) -> dict[str, Any]:
    """Return the backbone's variables by canonical name; a network may end before the top."""
    has_top = any(layer.name == TOP_CONV for layer in model.layers)
    return model_variables(model, donor.spec, None, has_top=has_top)


def norm_variables(model: keras.Model) -> list[Any]:
    """Return gamma and beta of every BatchNorm or GroupNorm."""
    return [
        variable
        for layer in model.layers
        if isinstance(layer, (layers.BatchNormalization, layers.GroupNormalization))
        for variable in layer.trainable_variables
    ]
