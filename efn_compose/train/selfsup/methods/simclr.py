"""SimCLR: each view finds the other view of its image among all others of the batch."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from efn_compose.train.selfsup.heads import hidden_width, perceptron
from efn_compose.train.selfsup.losses import simclr_loss
from efn_compose.train.selfsup.two_views import TwoViews

_DIMENSIONS = 128


class SimClr(TwoViews):
    """Chen et al. 2020, arXiv:2002.05709; a projector of two layers.

    Equal images in one batch are false negatives: leave duplicates out.

    Example:
        >>> SimClr().views
        2
    """

    def project(self, pooled: Any) -> list[Any]:
        """Return the projection."""
        width = hidden_width(pooled.shape[-1], self.pretrain.width)
        return [perceptron(pooled, "projector", (width, _DIMENSIONS))]

    def view_loss(
        self,
        first: Sequence[tf.Tensor],
        second: Sequence[tf.Tensor],
        pixels: tf.Tensor,
        updates: tf.Tensor,
    ) -> tf.Tensor:
        """Return the cross-entropy of finding the partner."""
        temperature = self.pretrain.temperature_for(self.options.batch_size)
        return simclr_loss(first[0], second[0], temperature)
