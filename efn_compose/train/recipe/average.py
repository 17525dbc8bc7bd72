"""A moving average of a network's weights, and going back half of the way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf


class MovingAverage:
    """The exponential moving average of weights, which often generalises better than they do.

    The decay begins small, min(decay, (1 + t) / (10 + t)) at update t, so that the
    average forgets where the training began.

    Args:
        model: The network; all its trainable weights are averaged.
        decay: 0 to 1; the average looks back over about 1 / (1 - decay) updates.

    Example:
        >>> average = MovingAverage(model, 0.999)  # doctest: +SKIP
        >>> with average.in_place():  # doctest: +SKIP
        ...     recalibrate(model, images)
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self._weights = [variable.value for variable in model.trainable_variables]
        self._rest = [variable.value for variable in model.non_trainable_variables]
        self.values = [tf.Variable(weight, trainable=False) for weight in self._weights]
        self.updates = tf.Variable(0.0, trainable=False)
        self._decay = decay
        self.update = tf.function(self._update, input_signature=(), autograph=False)

    def start(self) -> None:
        """Begin with the network's present weights."""
        assign_all(self.values, self._weights)
        self.updates.assign(0.0)

    def _update(self) -> None:
        t = self.updates
        share = 1 - tf.minimum(tf.constant(self._decay), (1 + t) / (10 + t))
        for average, weight in zip(self.values, self._weights, strict=True):
            average.assign_sub(share * (average - weight), read_value=False)
        t.assign_add(1.0)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the network; afterwards everything is as it was, BatchNorm too."""
        kept = [variable.numpy() for variable in (*self._weights, *self._rest)]
        assign_all(self._weights, self.values)
        try:
            yield
        finally:
            assign_all((*self._weights, *self._rest), kept)


def step_back(weights: Sequence[Any], anchor: Sequence[Any]) -> None:
    """Move weights to the middle between them and an anchor, and the anchor there too."""
    for weight, old in zip(weights, anchor, strict=True):
        old.assign((old + weight) / 2)
        weight.assign(old)


def assign_all(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Assign values to variables, one by one."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
