"""What all methods without labels have in common: what learns, and how it is watched."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.train.engine.forward import Forward
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Deciding, Objective, Predict
from efn_compose.train.selfsup.heads import draw_heads, is_head
from efn_compose.train.selfsup.monitors import Reference, monitor
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions


class Watched(Objective):
    """An objective without labels, watched through the features it makes.

    The network's outputs are a list: pooled features first, then those of `head`. The validation
    images are those on which the training is watched; they may have labels.

    Args:
        pretrain: The method's settings.
        views: What makes views differ.
    """

    #: The file of its pictures.
    picture_file: str = "painted.png"
    #: How many of the head's outputs, (image, dimension) each, are watched beside the features.
    watched_outputs: int = 0

    def __init__(
        self, pretrain: PretrainOptions | None = None, views: ViewOptions | None = None
    ) -> None:
        self.pretrain, self.view_options = pretrain or PretrainOptions(), views or ViewOptions()
        super().__init__(self.pretrain.train_options())
        self._reference: Reference | None = None

    @property
    def deciding(self) -> Deciding:
        """Nearest neighbours' labels where there are labels, else the share of the donor's rank."""
        has_labels = self._reference is not None and self._reference.knn is not None
        return Deciding("knn" if has_labels else "rank_share", lower_is_better=False)

    def build(self, donor: Donor) -> keras.Model:
        """Build the network; with `learns = "norm"` its backbone's kernels are held."""
        self._scaling = donor.conventions.preprocessing
        self._spec, self._conventions = donor.spec, donor.conventions
        model = super().build(donor)
        if self.pretrain.learns == "norm":
            for layer in model.layers:
                is_norm = isinstance(layer, layers.BatchNormalization)
                layer.trainable = is_norm or is_head(layer)
        return model

    def outputs(self, backbone: keras.Model) -> list[Any]:
        """Return pooled features and the outputs of `head`."""
        pooled = layers.GlobalAveragePooling2D(name="projector_pool")(backbone.output)
        return [pooled, *self.head(backbone, pooled)]

    @abstractmethod
    def head(self, backbone: keras.Model, pooled: Any) -> list[Any]:
        """Return the outputs on the backbone; those that are watched first.

        Args:
            backbone: Its layers have canonical names.
            pooled: (image, feature), a Keras tensor.
        """

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Draw projector and predictor."""
        draw_heads(model, seed)

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Remember the network, whose features are watched."""
        self._model = model
        self._pooled = self.asked(lambda pixels: model(pixels, training=False)[0])

    def check(self, data: TrainingData) -> None:
        """Raise `DataError` unless there is a batch of images, and some to watch."""
        count, batch = len(data.train_images), self.options.batch_size
        if count < batch:
            raise DataError(
                f"{count} unlabelled images do not fill one batch of {batch}. Give more images, "
                f"or set pretrain.batch_size = {max(count, 2)} or less."
            )
        if not len(data.validation_images):
            raise DataError("A pretraining is watched on validation images, and there are none.")

    def targets(self, data: TrainingData) -> np.ndarray:
        """Return zeros (image, 1): nothing is known of the images."""
        return np.zeros((len(data.train_images), 1), np.float32)

    def identity(self) -> dict[str, str]:
        """Return method and settings."""
        own = [repr(self.pretrain), repr(self.view_options)]
        return {"objective": type(self).__name__, "pretrain": " ".join(own)}

    def begin(self, data: TrainingData, updates: int) -> None:
        """Look at the images to watch through the network as it begins."""
        features = self._pooled(data.validation_images)
        self._reference = Reference.of(features, data.validation_labels)

    def infer(self, model: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
        """Return pooled features and watched outputs side by side, (image, feature + dimension)."""
        found = model(pixels, training=False)
        return tf.concat(found[: 1 + self.watched_outputs], axis=1)

    def scores(self, predict: Predict, data: TrainingData) -> dict[str, float]:
        """Return the monitors: spread, rank, neighbours, and what labels say."""
        reference = self._reference
        if reference is None:
            return {}
        outputs = predict(data.validation_images)
        features, rest = np.split(outputs, [reference.features.shape[1]], axis=1)
        return {**monitor(features, reference), **self.further_scores(rest, predict, data)}

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return what a method watches beside the features.

        Args:
            outputs: (image, dimension), the watched outputs for the watched images.
            predict: Runs `infer` on other images.
            data: The examples.
        """
        return {}

    def pictures(self, images: PixelArray) -> list[np.ndarray]:
        """Return rows of pictures of what was learnt, (image, side, side, 3) uint8 each; none here.

        Args:
            images: (image, side, side, 3) uint8.
        """
        return []

    def scaled(self, pixels: Any) -> Any:
        """Return pixels, 0-255, as the network wants them.

        Args:
            pixels: (image, size, size, 3).
        """
        mean, std = (np.asarray(v, np.float32) for v in (self._scaling.mean, self._scaling.std))
        return (pixels - mean) / std

    def asked(self, infer: Callable[[tf.Tensor], tf.Tensor]) -> Forward:
        """Return what asks networks of this objective's about images, some at a time.

        A network that is called as it is keeps every layer's maps until it has answered: at 224
        pixels some 90 MB for each image.

        Args:
            infer: From scaled pixels to answers (image, ...); traced once.
        """
        return Forward(infer, self._spec, self._conventions)
