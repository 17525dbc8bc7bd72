"""BYOL: a predictor turns one view's output into what a slow teacher says of the other view."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Predict
from efn_compose.train.recipe.average import assign_all
from efn_compose.train.selfsup.heads import perceptron
from efn_compose.train.selfsup.losses import cosine_loss
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.two_views import TwoViews

_HIDDEN, _DIMENSIONS = 1024, 256


class Byol(TwoViews):
    """Grill et al. 2020, arXiv:2006.07733; the teacher is a moving average of the network.

    The teacher normalises with the statistics of the batch, as the network does, so that it needs
    no moving averages of its own.

    Args:
        pretrain: The method's settings.
        views: What makes views differ.

    Example:
        >>> float(teacher_momentum(tf.constant(0.0), tf.constant(100.0), 0.5))
        0.5
    """

    def __init__(
        self, pretrain: PretrainOptions | None = None, views: ViewOptions | None = None
    ) -> None:
        super().__init__(pretrain, views)
        #: Updates of the training, set by `begin`.
        self._updates = tf.Variable(1.0, trainable=False)
        self._momentum = tf.Variable(1.0, trainable=False)
        self._teacher: list[tf.Variable] = []
        self._weights: list[Any] = []
        self._start: list[np.ndarray] = []

    def project(self, pooled: Any) -> list[Any]:
        """Return projection and prediction."""
        hidden = self.pretrain.width or _HIDDEN
        projection = perceptron(pooled, "projector", (hidden, _DIMENSIONS))
        return [projection, perceptron(projection, "predictor", (hidden, _DIMENSIONS))]

    def bind(self, model: keras.Model, average: Sequence[tf.Variable]) -> None:
        """Make the teacher's weights."""
        super().bind(model, average)
        self._weights = [variable.value for variable in model.trainable_variables]
        self._teacher = [tf.Variable(weight, trainable=False) for weight in self._weights]

    def variables(self) -> list[Any]:
        """Return the teacher's weights."""
        return list(self._teacher)

    def begin(self, data: TrainingData, updates: int) -> None:
        """Let the teacher begin as the network does."""
        super().begin(data, updates)
        assign_all(self._teacher, self._weights)
        self._start = [weight.numpy() for weight in self._weights]
        self._updates.assign(float(updates))
        self._momentum.assign(self.pretrain.momentum_for(updates))

    def view_loss(
        self,
        first: Sequence[tf.Tensor],
        second: Sequence[tf.Tensor],
        pixels: tf.Tensor,
        updates: tf.Tensor,
    ) -> tf.Tensor:
        """Return 2 minus twice the cosine of prediction and teacher, both ways."""
        self._follow(updates)
        wanted = tf.split(tf.stop_gradient(self._teach(pixels)), 2)
        one = cosine_loss(first[1], wanted[1])
        return 2 + one + cosine_loss(second[1], wanted[0])

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return also how far the teacher has moved since the start, relative to its length."""
        moved = sum(
            float(np.square(now.numpy() - start).sum())
            for now, start in zip(self._teacher, self._start, strict=True)
        )
        length = sum(float(np.square(start).sum()) for start in self._start)
        found = super().further_scores(outputs, predict, data)
        return {**found, "teacher_moved": float(np.sqrt(moved / length))}

    def _follow(self, updates: tf.Tensor) -> None:
        """Move the teacher towards the network, whose last update came just before."""
        momentum = teacher_momentum(updates, self._updates, self._momentum)
        for teacher, weight in zip(self._teacher, self._weights, strict=True):
            teacher.assign_sub((1 - momentum) * (teacher - tf.stop_gradient(weight)))

    def _teach(self, pixels: tf.Tensor) -> tf.Tensor:
        """Return the teacher's projections: batch statistics, nothing remembered."""
        rest = [variable.value for variable in self._model.non_trainable_variables]
        weights = [tf.convert_to_tensor(value) for value in self._teacher]
        outputs, _ = self._model.stateless_call(weights, rest, pixels, training=True)
        return tf.cast(outputs[1], tf.float32)


def teacher_momentum(
    updates: tf.Tensor | float, planned: tf.Tensor | float, first: tf.Tensor | float
) -> tf.Tensor:
    """Return the teacher's momentum: from `first` to 1 by a cosine.

    Args:
        updates: Made so far.
        planned: Of the training.
        first: At the beginning.
    """
    share = tf.cast(updates, tf.float32) / planned
    return 1 - (1 - first) * (tf.cos(np.pi * share) + 1) / 2
