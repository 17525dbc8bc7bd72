"""What all methods on two views of an image have in common: views, and a projector."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.errors import DataError
from efn_compose.train.augment.draws import Draws
from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Predict, Seen
from efn_compose.train.selfsup.monitors import spread
from efn_compose.train.selfsup.positives import patient_partners
from efn_compose.train.selfsup.views import OWN_DRAWS, draw_view
from efn_compose.train.selfsup.watched import Watched

#: Seeds of the draws of the views of one image are so far apart.
_NEXT = 32_452_843


class TwoViews(Watched):
    """An objective without labels that compares two views of each image.

    Both views pass through the network in one batch, so that BatchNorm takes its statistics of both.
    With `positives = "patient"` the second view is of another image of the same patient.

    Args:
        pretrain: The method's settings.
        views: What makes views differ.

    Example:
        >>> class Distance(TwoViews):
        ...     def project(self, pooled):
        ...         return [keras.layers.Dense(8, name="projector_1")(pooled)]
        ...
        ...     def view_loss(self, first, second, pixels, updates):
        ...         return tf.reduce_mean((first[0] - second[0]) ** 2)
    """

    views = 2
    watched_outputs = 1

    @abstractmethod
    def project(self, pooled: Any) -> list[Any]:
        """Return the outputs on the pooled features: the projection first.

        Args:
            pooled: (image, feature), a Keras tensor.
        """

    def head(self, backbone: keras.Model, pooled: Any) -> list[Any]:
        """Return the outputs of `project`."""
        return self.project(pooled)

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
            first: The outputs of `project` for one view, (image, dimension) each.
            second: For the other.
            pixels: (view · image, size, size, 3), what the outputs were computed from.
            updates: float32 scalar, updates made before this one.
        """

    def check(self, data: TrainingData) -> None:
        """Raise `DataError` also if patients are asked for, and none has two images."""
        super().check(data)
        patients = data.train_patients
        if self.pretrain.positives == "patient" and (
            patients is None or len(np.unique(patients)) == len(patients)
        ):
            found = "no patients are known" if patients is None else "no patient has two images"
            raise DataError(
                f'pretrain.positives = "patient": {found} of {len(data.train_images)} images. Name '
                'a source with patients, or set pretrain.positives = "image".'
            )

    def partners(self, data: TrainingData, seed: int, epoch: int) -> np.ndarray | None:
        """Return another image of each image's patient where that is asked for."""
        if self.pretrain.positives == "image" or data.train_patients is None:
            return None
        return patient_partners(data.train_patients, seed, epoch)

    def prepare(self, seen: Seen) -> tuple[tf.Tensor, tf.Tensor]:
        """Return both views of each image."""
        views = [
            draw_view(
                part,
                Draws(seen.numbers, seen.epoch, seen.seed + OWN_DRAWS + number * _NEXT),
                self.view_options,
            )
            for number, part in enumerate(tf.split(seen.pixels, self.views))
        ]
        return tf.concat(views, axis=0), seen.targets

    def loss(
        self, model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, updates: tf.Tensor
    ) -> tf.Tensor:
        """Return the mean loss of the views, once for each image."""
        _, *outputs = model(pixels, training=True)
        halves = [tf.split(tf.cast(values, tf.float32), 2) for values in outputs]
        first, second = ([half[number] for half in halves] for number in (0, 1))
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        return count * self.view_loss(first, second, pixels, updates)

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return the spread of the projections."""
        return {"spread": spread(outputs)}
