"""VICReg: views agree, every dimension varies, no dimension repeats another. The default."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from efn_compose.train.examples import TrainingData
from efn_compose.train.objectives.objective import Predict
from efn_compose.train.selfsup.heads import hidden_width, perceptron
from efn_compose.train.selfsup.losses import vicreg_loss
from efn_compose.train.selfsup.two_views import TwoViews


class VicReg(TwoViews):
    """Bardes, Ponce and LeCun 2021, arXiv:2105.04906: no negatives, no teacher, no stopped gradient.

    A projector of three equally wide layers.

    Example:
        >>> VicReg().deciding
        Deciding(score='rank_share', lower_is_better=False)
    """

    def project(self, pooled: Any) -> list[Any]:
        """Return the projection."""
        width = hidden_width(pooled.shape[-1], self.pretrain.width)
        return [perceptron(pooled, "projector", (width, width, width))]

    def further_scores(
        self, outputs: np.ndarray, predict: Predict, data: TrainingData
    ) -> dict[str, float]:
        """Return also the mean standard deviation, which the variance term wants to be 1."""
        return {
            **super().further_scores(outputs, predict, data),
            "std": float(outputs.std(axis=0).mean()),
        }

    def view_loss(
        self,
        first: Sequence[tf.Tensor],
        second: Sequence[tf.Tensor],
        pixels: tf.Tensor,
        updates: tf.Tensor,
    ) -> tf.Tensor:
        """Return distance, missing spread and covariances, weighted."""
        options = self.pretrain
        weights = (options.invariance, options.variance, options.covariance)
        return vicreg_loss(first[0], second[0], *weights)
