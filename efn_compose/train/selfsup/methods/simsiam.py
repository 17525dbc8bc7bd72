"""SimSiam: a predictor turns one view's output into the other's, whose gradient is stopped."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from efn_compose.train.selfsup.heads import hidden_width, perceptron
from efn_compose.train.selfsup.losses import cosine_loss
from efn_compose.train.selfsup.two_views import TwoViews


class SimSiam(TwoViews):
    """Chen and He 2020, arXiv:2011.10566; projector of three layers, predictor with a bottleneck.

    Example:
        >>> SimSiam().views
        2
    """

    def project(self, pooled: Any) -> list[Any]:
        """Return projection and prediction."""
        width = hidden_width(pooled.shape[-1], self.pretrain.width)
        projection = perceptron(pooled, "projector", (width, width, width), ends_in_norm=True)
        return [projection, perceptron(projection, "predictor", (max(width // 4, 1), width))]

    def held(self, projection: tf.Tensor) -> tf.Tensor:
        """Return what a prediction is compared with: without this stop, all outputs collapse."""
        return tf.stop_gradient(projection)

    def view_loss(
        self,
        first: Sequence[tf.Tensor],
        second: Sequence[tf.Tensor],
        pixels: tf.Tensor,
        updates: tf.Tensor,
    ) -> tf.Tensor:
        """Return minus the cosine of prediction and projection, both ways."""
        pairs = ((first, second), (second, first))
        return tf.add_n([cosine_loss(a[1], self.held(b[0])) for a, b in pairs]) / 2
