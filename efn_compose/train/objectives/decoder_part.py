"""A decoder inside a network that is trained: built, drawn, and kept as a further part."""

from typing import Any

import keras
import numpy as np

from efn_compose.arch import DecoderSpec, TensorSpec
from efn_compose.arch.decoder import OUTPUT_LAYER
from efn_compose.donors import Donor
from efn_compose.donors.unet import DECODER, decoder_tensors, drawn_decoder
from efn_compose.models.efficientnet import layer_variable
from efn_compose.models.unet import decoder_outputs
from efn_compose.store.weights.parts import Part


class DecoderPart:
    """A decoder on a donor's backbone.

    Args:
        donor: Names the backbone and how its weights want to be run.
        decoder: What stands on it.

    Example:
        >>> part = DecoderPart(donor, DecoderSpec("mirror", outputs=3))  # doctest: +SKIP
        >>> keras.Model(backbone.input, part.outputs(backbone))  # doctest: +SKIP
    """

    def __init__(self, donor: Donor, decoder: DecoderSpec) -> None:
        self.decoder = decoder
        self._spec = donor.spec.with_decoder(decoder)
        self._conventions = donor.conventions
        self._tensors = decoder_tensors(donor, decoder)

    def outputs(self, backbone: keras.Model) -> Any:
        """Return the decoder's outputs (image, height, width, output), built on a backbone's layers."""
        return decoder_outputs(backbone, self._spec, self._conventions)

    def variables(self, model: keras.Model) -> dict[str, Any]:
        """Return the decoder's variables inside a network, by canonical name."""
        return {tensor.name: _variable(model, tensor) for tensor in self._tensors}

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> bool:
        """Give the decoder a donor's weights where they fit, drawn ones elsewhere.

        Returns:
            Whether its last convolution was drawn.
        """
        drawn = drawn_decoder(donor, self.decoder, seed)
        kept = donor.parts[DECODER].tensors if DECODER in donor.parts else {}
        fresh = set()
        for name, variable in self.variables(model).items():
            fits = name in kept and kept[name].shape == tuple(variable.shape)
            variable.assign(kept[name] if fits else drawn[name])
            if not fits:
                fresh.add(name.partition("/")[0])
        return OUTPUT_LAYER in fresh

    def kept(self, model: keras.Model) -> dict[str, Part]:
        """Return the decoder's present weights as weight files hold them."""
        tensors = {
            name: np.array(variable.numpy()) for name, variable in self.variables(model).items()
        }
        return {DECODER: Part(tensors, self.decoder.to_json())}


def _variable(model: keras.Model, tensor: TensorSpec) -> Any:
    return layer_variable(model.get_layer(tensor.layer), tensor)
