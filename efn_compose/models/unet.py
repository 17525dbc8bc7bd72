"""A decoder on the layers of a built network: the two together are a U-Net (Ronneberger et al. 2015)."""

from collections.abc import Mapping
from typing import Any

import keras

from efn_compose.arch import (
    IMAGE,
    ArchSpec,
    Conventions,
    DecoderSpec,
    decoder_operations,
    feature_points,
    follow_from,
)
from efn_compose.models.efficientnet import InputShape, LayerBuilder, build_model
from efn_compose.models.fast_layers import LayerKinds


def build_unet(
    spec: ArchSpec,
    conventions: Conventions,
    decoder: DecoderSpec | None = None,
    *,
    input_shape: InputShape | None = None,
    drop_connect: float = 0.0,
    kinds: LayerKinds | None = None,
) -> keras.Model:
    """Build a U-Net with fresh weights; its encoder has the layers and names of `build_model`.

    Args:
        spec: The network below the decoder.
        conventions: Padding, BatchNorm epsilon and momentum, activation.
        decoder: Default the network's own.
        input_shape: (height, width, 3); default any size, odd ones too.
        drop_connect: Rate of stochastic depth at the encoder's last block.
        kinds: Classes of its layers; Keras' own by default.

    Returns:
        A functional model from preprocessed float input to (image, height, width, output).

    Example:
        >>> from efn_compose.arch import arch_spec, default_conventions
        >>> spec = arch_spec("lite-w0.1-d0.1")
        >>> decoder = DecoderSpec("mirror", outputs=3)
        >>> build_unet(spec, default_conventions(spec), decoder, input_shape=(65, 33, 3)).output_shape
        (None, 65, 33, 3)
    """
    backbone = build_model(
        spec.with_decoder(None),
        conventions,
        input_shape=input_shape,
        include_top=False,
        drop_connect=drop_connect,
        kinds=kinds,
    )
    outputs = decoder_outputs(backbone, spec.with_decoder(decoder or spec.decoder), conventions)
    return keras.Model(backbone.input, outputs, name=f"{backbone.name}_unet")


def decoder_outputs(
    backbone: keras.Model,
    spec: ArchSpec,
    conventions: Conventions,
    instead: Mapping[str, Any] | None = None,
) -> Any:
    """Return a decoder's outputs (image, height, width, output), built on a network's layers.

    Args:
        backbone: Of `build_model`.
        spec: Its network, with the decoder.
        conventions: Of the network.
        instead: What it reads in place of some feature points, of their shapes, by their layers.
    """
    given = {
        point.layer: backbone.get_layer(point.layer).output for point in feature_points(spec)
    } | {IMAGE: backbone.input, **(instead or {})}
    builder = LayerBuilder(conventions, None, LayerKinds(), dropout=0.0, drop_rates={})
    return follow_from(decoder_operations(spec), given, builder.perform)
