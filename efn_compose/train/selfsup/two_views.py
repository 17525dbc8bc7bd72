"""What all methods on two views of an image have in common: views, projector, monitors."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from efn_compose.data.pixels import PixelArray
from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.models.memory import inference_batch
from efn_compose.train.augment.draws import Draws
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Deciding, Objective, Predict, Seen
from efn_compose.train.selfsup.heads import draw_heads, is_head
from efn_compose.train.selfsup.monitors import Reference, monitor
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions

#: Seeds of the draws of a view, and of views of one image, are so far from those of `[augment]`.
_OWN, _NEXT = 15_485_863, 32_452_843


class TwoViews(Objective):
    """An objective without labels that compares two views of each image.

    Both views pass through the network in one batch, so that BatchNorm takes its statistics of both.
    The validation images are those on which the training is watched; they may have labels.

    Args:
        pretrain: The method's settings.
        views: What makes views differ.

    Example:
        >>> class Distance(TwoViews):
        ...     def head(self, pooled):
        ...         return [layers.Dense(8, name="projector_1")(pooled)]
        ...
        ...     def view_loss(self, first, second, pixels, updates):
        ...         return tf.reduce_mean((first[0] - second[0]) ** 2)
    """

    views = 2

    def __init__(
        self, pretrain: PretrainOptions | None = None, views: ViewOptions | None = None
    ) -> None:
        self.pretrain, self.view_options = pretrain or PretrainOptions(), views or ViewOptions()
        super().__init__(self.pretrain.train_options())
        self._reference: Reference | None = None

    @abstractmethod
    def head(self, pooled: Any) -> list[Any]:
        """Return the outputs on the pooled features: the projection first.

        Args:
            pooled: (image, feature), a Keras tensor.
        """

    @abstractmethod
    def view_loss(
        self,
        first: Sequence[tf.Tensor],
        second: Sequence[tf.Tensor],
        pixels: tf.Tensor,
        updates: tf.Tensor,
    ) -> tf.Tensor:
        """Return the mean loss of the images of a batch.

        Args:
            first: The outputs of `head` for one view, (image, dimension) each.
            second: For the other.
            pixels: (view · image, size, size, 3), what the outputs were computed from.
            updates: float32 scalar, updates made before this one.
        """

    @property
    def deciding(self) -> Deciding:
        """Nearest neighbours' labels where there are labels, else the share of the donor's rank."""
        has_labels = self._reference is not None and self._reference.knn is not None
        return Deciding("knn" if has_labels else "rank_share", lower_is_better=False)

    def build(self, donor: Donor) -> keras.Model:
        """Build the network; with `learns = "norm"` its backbone's kernels are held."""
        self._scaling = donor.conventions.preprocessing
        self._spec = donor.spec
        model = super().build(donor)
        if self.pretrain.learns == "norm":
            for layer in model.layers:
                is_norm = isinstance(layer, layers.BatchNormalization)
                layer.trainable = is_norm or is_head(layer)
        return model

    def outputs(self, backbone: keras.Model) -> list[Any]:
        """Return pooled features and the outputs of `head`."""
        pooled = layers.GlobalAveragePooling2D(name="projector_pool")(backbone.output)
        return [pooled, *self.head(pooled)]

    def draw(self, model: keras.Model, donor: Donor, seed: int) -> None:
        """Draw projector and predictor."""
        draw_heads(model, seed)

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Remember the network, whose features are watched."""
        self._model = model

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

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return both views of each image."""
        drawn = [
            draw
            for number, part in enumerate(tf.split(seen.pixels, self.views))
            for draw in self.drawn(part, seen, _OWN + number * _NEXT)
        ]
        return tf.concat(drawn, axis=0), seen.targets

    def drawn(self, pixels: tf.Tensor, seen: Seen, offset: int) -> list[tf.Tensor]:
        """Return what becomes of the images of one view.

        Args:
            pixels: (image, size, size, 3), 0-255.
            seen: The batch.
            offset: Added to the training's seed.
        """
        from efn_compose.train.selfsup.views import draw_view

        draws = Draws(seen.numbers, seen.epoch, seen.seed + offset)
        return [draw_view(pixels, draws, self.view_options)]

    def identity(self) -> dict[str, str]:
        """Return method and settings."""
        own = [repr(self.pretrain), repr(self.view_options)]
        return {"objective": type(self).__name__, "pretrain": " ".join(own)}

    def begin(self, data: TrainingData, updates: int) -> None:
        """Look at the images to watch through the network as it begins."""
        features = self._features(data.validation_images)
        self._reference = Reference.of(features, data.validation_labels)

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the mean loss of the views, once for each image."""
        _, *outputs = model(pixels, training=True)
        halves = [tf.split(tf.cast(values, tf.float32), 2) for values in outputs]
        first, second = ([half[number] for half in halves] for number in (0, 1))
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        return count * self.view_loss(first, second, pixels, updates)

    def infer(self, model: keras.Model, pixels: tf.Tensor) -> tf.Tensor:
        """Return pooled features and projection, (image, feature + dimension)."""
        pooled, projection, *_ = model(pixels, training=False)
        return tf.concat([pooled, projection], axis=1)

    def scores(self, predict: Predict, data: TrainingData) -> dict[str, float]:
        """Return the monitors: spread, rank, neighbours, and what labels say."""
        reference = self._reference
        if reference is None:
            return {}
        outputs = predict(data.validation_images)
        features, projections = np.split(outputs, [reference.features.shape[1]], axis=1)
        return {**monitor(features, projections, reference), **self.further_scores(projections)}

    def further_scores(self, projections: np.ndarray) -> dict[str, float]:
        """Return what a method watches beside the common monitors.

        Args:
            projections: (image, dimension) of the watched images.
        """
        return {}

    def _features(self, images: PixelArray) -> np.ndarray:
        """Return pooled features (image, feature) of the network as it is."""
        step = inference_batch(self._spec, int(images.shape[1]))
        mean, std = (np.asarray(v, np.float32) for v in (self._scaling.mean, self._scaling.std))
        parts = [images[start : start + step] for start in range(0, len(images), step)]
        found = [
            self._model((part.astype(np.float32) - mean) / std, training=False) for part in parts
        ]
        return np.concatenate([np.asarray(pooled, np.float32) for pooled, *_ in found])
