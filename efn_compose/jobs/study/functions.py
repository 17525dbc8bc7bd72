"""Networks of other libraries in a study: any function that returns a Keras model."""

import dataclasses

import keras
import numpy as np

from efn_compose.arch import Preprocessing
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.jobs.study.named import find_function
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.objectives.backbone import precision_of
from efn_compose.train.objectives.classification import Classification
from efn_compose.train.objectives.linear_head import draw_head, linear_head
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe import Trainer

#: Images per pass where no gradient is needed.
_BATCH = 64
#: Seeds of the dropout masks of neighbouring layers differ by so much.
_SPACING = 7919


class FunctionClassification(Classification):
    """Telling classes apart with a network that a function returns.

    The network takes RGB pixels, 0-255, (image, height, width, 3), and ends at a feature map
    (image, height, width, channel). Its weights are those that the function returns.

    Args:
        classes: Width of the classifier.
        options: As for `Classification`; those of our own networks have no effect.
        metric: As for `Classification`.
        place: "module:function".
    """

    def __init__(self, classes: int, options: TrainOptions, metric: str, place: str) -> None:
        super().__init__(classes, options, metric)
        self.place = place
        self._first: list[np.ndarray] = []

    def build(self, donor: Donor) -> keras.Model:
        """Call the function, and put the head on its network.

        Raises:
            ConfigError: The function does not return a network from images to feature maps.
        """
        with precision_of(self.options):
            # Weights that the function draws are the same in every worker.
            keras.utils.set_random_seed(0)
            network = find_function(self.place)()
            if not isinstance(network, keras.Model) or len(network.output_shape) != 4:
                shape = getattr(network, "output_shape", None)
                raise ConfigError(
                    f"{self.place} must return a Keras model that ends at a feature map (image, "
                    f"height, width, channel). Received: {type(network).__name__}, {shape}."
                )
            network.trainable = not self.options.frozen_backbone
            pixels = keras.Input((None, None, 3))
            outputs = linear_head(network(pixels), self.classes, self.options)
            model = keras.Model(pixels, outputs, name="studied")
        self._first = [np.array(variable.numpy()) for variable in network.variables]
        self._network = network
        return model

    def start(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Give the network the weights that it came with, and a fresh head."""
        for variable, value in zip(self._network.variables, self._first, strict=True):
            variable.assign(value)
        draw_head(model, donor, seed)
        for number, layer in enumerate(model._flatten_layers(include_self=False)):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                generator.state.assign([(seed + _SPACING * number) % (1 << 31), 0])

    def kept(self, model: keras.Model) -> dict[str, np.ndarray]:
        """Return nothing: weight files hold networks of the tables."""
        return {}


class FunctionTrainer(Trainer):
    """Trains a network that a function returns.

    Args:
        donor: Of `pixel_donor`.
        objective: Names the function.
    """

    def trained(self, donor: Donor) -> Donor:
        """Return the donor as it was: it has no place for the network's weights."""
        return donor

    def pass_size(self, side: int) -> int:
        """Return a number that suits most networks: nothing is known of this one's memory."""
        return _BATCH

    def predict(self, images: PixelArray, batch_size: int = 0) -> np.ndarray:
        """Return logits (image, class), as `Trainer.predict` does."""
        return super().predict(images, batch_size or _BATCH)


def pixel_donor(donor: Donor) -> Donor:
    """Return a stand-in for the engine whose images stay as they are, 0-255."""
    plain = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return donor.replace(conventions=dataclasses.replace(donor.conventions, preprocessing=plain))
